"""The catalogue says every visible string, with its placeholders; how strings are found in sources."""

import polib
import pytest
from django.utils import translation
from django.utils.translation import gettext, ngettext

from stack import messages
from stack.messages import Message

PYTHON = """
title = _("Runs")
lazy = gettext_lazy("In two "
    "parts")
many = ngettext("%(n)d run", "%(n)d runs", n) % {"n": n}
field = forms.CharField(label=translation.gettext("Name"))
not_words = _(variable), other("Not this")
"""
TEMPLATE = """
{% load i18n %}<p title="{% translate 'Say "so"' %}">{% translate "It's here" as words %}{{ _("Direct") }}</p>
{% blocktranslate with n=found|count %}{{ n }} found &amp; kept{% endblocktranslate %}
{% blocktranslate count n=found %}{{ n }} row{% plural %}{{ n }} rows{% endblocktranslate %}
{% include "x.html" with title=_("Passed on") %}
"""


def test_the_catalogue_says_everything():
    assert messages.faults(polib.pofile(str(messages.CATALOGUE)), messages.extracted()) == []


def test_what_django_reads_is_the_catalogue_compiled():
    compiled = messages.CATALOGUE.with_suffix(".mo").read_bytes()
    assert polib.pofile(str(messages.CATALOGUE)).to_binary() == compiled, "run `make messages`"


def test_every_marked_string_of_python_is_found(tmp_path):
    assert set(found_in(tmp_path, "pipelines/views.py", PYTHON)) == {
        Message("Runs"),
        Message("In two parts"),
        Message("%(n)d run", "%(n)d runs"),
        Message("Name"),
    }


def test_every_marked_string_of_a_template_is_found(tmp_path):
    assert set(found_in(tmp_path, "templates/page.html", TEMPLATE)) == {
        Message("It's here"),
        Message('Say "so"'),
        Message("Direct"),
        Message("%(n)s found &amp; kept"),
        Message("%(n)s row", "%(n)s rows"),
        Message("Passed on"),
    }


def test_a_string_with_a_context_is_refused_instead_of_missed(tmp_path):
    with pytest.raises(ValueError, match="context"):
        found_in(tmp_path, "templates/page.html", "{% load i18n %}{% translate 'May' context 'month' %}")


def found_in(root, name, text):
    path = root / name
    path.parent.mkdir()
    path.write_text(text)
    return messages.extracted(root)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"msgid": "Other", "msgstr": "Otro"}, "not in the catalogue: '%(n)s &amp; more'"),
        ({"msgstr": ""}, "not translated"),
        ({"msgstr": "%(n)s &amp; más", "flags": ["fuzzy"]}, "not translated"),
        ({"msgstr": "%(m)s &amp; más"}, "other placeholders"),
        ({"msgstr": "%(n)s y más"}, "other placeholders"),
        ({"msgstr": "%(n)s %(n)s &amp; más"}, "other placeholders"),
    ],
)
def test_what_a_catalogue_lacks_is_named(entry, fault):
    catalogue = polib.POFile()
    catalogue.append(polib.POEntry(**{"msgid": "%(n)s &amp; more", **entry}))
    assert fault in messages.faults(catalogue, {Message("%(n)s &amp; more"): []})[0]


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 tareas esperan"), (1, "1 tarea espera"), (2, "2 tareas esperan")]
)
def test_plurals_are_right(n, text):
    with translation.override("es"):
        assert ngettext("%(n)d task waits", "%(n)d tasks wait", n) % {"n": n} == text


def test_a_text_is_said_in_the_language_of_the_moment():
    with translation.override("es"):
        assert gettext("Sign in") == "Iniciar sesión"
    assert gettext("Sign in") == "Sign in"
