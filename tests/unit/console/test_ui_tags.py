"""The tags of `{% load ui %}`: what they print, and that nothing in it breaks the content policy."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django import forms
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory
from django.test.utils import override_script_prefix
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from console.assets import sprite
from console.templatetags import shell
from core.lib.templatetags import outcomes
from core.lib.templatetags.states import LOOKS, look_of


def rendered(source: str, **values: object) -> str:
    return Template("{% load ui %}" + source).render(Context(values))


class Person(forms.Form):
    age = forms.FloatField(max_value=80, help_text="0.4 to 80 seen")
    sex = forms.ChoiceField(choices=[("m", "male")])
    note = forms.CharField(required=False)
    is_alone = forms.BooleanField(required=False)


# --- states


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("queued", "idle"),
        ("running", "run"),
        ("success", "ok"),
        ("upstream_failed", "bad"),
        ("waiting", "wait"),
        ("never heard of", "idle"),
        (None, "idle"),
    ],
)
def test_state_has_the_colour_of_its_kind(value, kind):
    assert f"state-{kind}" in rendered("{% state value %}", value=value)


def test_state_is_a_word_and_an_icon_never_colour_alone():
    html = rendered("{% state 'failed' %}")
    assert "icons.svg#x" in html
    assert re.sub(r"<[^>]+>", "", html) == "failed"


def test_unknown_state_keeps_its_own_word_escaped():
    assert "&lt;b&gt;odd word" in rendered("{% state value %}", value="<b>odd_word")


def test_state_borrows_the_look_of_another():
    html = rendered("{% state 'requested' look='waiting' %}")
    assert "state-wait" in html
    assert "requested" in html


def test_every_icon_of_the_shell_is_in_the_sprite():
    served = set(re.findall(r'<symbol id="([^"]+)"', sprite.SPRITE.read_text(encoding="utf-8")))
    named = {look.icon for look in LOOKS.values()} | {section.icon for section in shell.SECTIONS}
    named |= {icon for _kind, icon in outcomes.TOASTS.values()}
    assert named <= served == set(sprite.ICONS)


def test_look_of_is_lenient_in_spelling():
    assert look_of("Up for retry") == look_of("up_for_retry")


# --- numbers and times


@pytest.mark.parametrize(
    "name", ["ago", "at", "duration", "count", "bytes", "share", "metric", "shortid", "shorten"]
)
def test_nothing_is_a_dash(name):
    assert rendered("{{ value|" + name + " }}", value=None) == "–"


def test_ago_keeps_the_absolute_time_in_the_tooltip():
    moment = timezone.now() - timedelta(minutes=3, seconds=5)
    html = rendered("{{ value|ago }}", value=moment)
    assert ">3 min ago</time>" in html
    assert f'datetime="{moment.isoformat()}"' in html
    assert 'title="' in html


def test_a_place_keeps_all_its_digits():
    assert rendered("{{ value|whole }}", value=1_234_567) == "1\u202f234\u202f567"
    assert rendered("{{ value|whole }}", value=None) == "–"


def test_large_count_has_the_exact_one_in_the_tooltip():
    assert 'title="1\u202f234\u202f567"' in rendered("{{ value|count }}", value=1_234_567)


def test_shortid_copies_the_whole_and_escapes_it():
    html = rendered("{{ value|shortid }}", value='4be1c207"><script>35de4b0f')
    assert "<script>" not in html
    assert "4be1…4b0f" in html


# --- drawings


def test_run_bars_are_drawn_oldest_first_in_the_colour_of_their_state():
    runs = [
        {"state": "failed", "duration_s": 10.0},
        SimpleNamespace(state="success", duration_s=20.0, url="/runs/2"),
    ]
    html = rendered("{% run_bars runs %}", runs=runs)
    assert re.findall(r'class="fill-(\w+)"', html) == ["bad", "ok"]
    assert re.findall(r'<rect[^>]* height="([\d.]+)"', html) == [
        "14.4",
        "24",
    ]  # 24 × (0.2 + 0.8 × 10/20), and all
    assert 'href="/runs/2"' in html


def test_run_bars_of_runs_without_a_duration_still_show():
    assert 'height="4.8"' in rendered("{% run_bars runs %}", runs=[{"state": "queued"}])


def test_run_bars_say_their_state_in_the_readers_language():
    tag, runs = "{% run_bars runs %}", [{"state": "failed", "duration_s": 2.5, "label": "<a>"}]
    assert "&lt;a&gt; · failed · 2.5" in rendered(tag, runs=runs)
    with translation.override("es"):
        assert "&lt;a&gt; · fallido · 2,5" in rendered(tag, runs=runs)


def test_a_rows_address_is_the_one_of_url():
    names = ["etl", "load.daily-1", "Größe", "a b", "50%", "q?x=1#y"]
    for name in names:
        tags = "{% url 'pipelines:pipeline-detail' name %} {% row_url 'pipelines:pipeline-detail' name %}"
        by_url, by_row_url = rendered(tags, name=name).split(" ")
        assert by_url == by_row_url
    with override_script_prefix("/console/"):
        assert rendered("{% row_url 'pipelines:pipeline-detail' 'etl' %}") == "/console/pipelines/etl"


def test_sparkline_of_equal_values_is_a_level_line():
    html = rendered("{% sparkline values %}", values=[2, 2, 2])
    assert 'points="0,12 44,12 88,12"' in html


@pytest.mark.parametrize("tag", ["{% sparkline values %}", "{% run_bars values %}"])
def test_drawing_of_nothing_is_nothing(tag):
    assert rendered(tag, values=[]) == ""


def test_bar_never_leaves_its_track():
    assert 'width="100"' in rendered("{% bar 1.7 'ok' %}")
    assert 'width="0"' in rendered("{% bar -1 'ok' %}")


def test_push_bar_goes_left_for_a_negative_value():
    assert 'x="25" width="25"' in rendered("{% push_bar value 0.4 %}", value=-0.2)
    assert 'x="50" width="25"' in rendered("{% push_bar value 0.4 %}", value=0.2)


# --- the frame


def request_for(path: str) -> HttpRequest:
    request = RequestFactory().get(path)
    request.resolver_match = None
    return request


def test_tab_of_this_page_is_the_current_one():
    html = rendered("{% tab '/a' 'A' %}{% tab '/b' 'B' 12 %}", request=request_for("/a?x=1"))
    assert re.findall(r'href="(\S+)" aria-current', html) == ["/a"]
    assert "12" in html


@pytest.mark.parametrize(
    ("query", "following", "sort"),
    [
        ("", "order=name", None),
        ("order=name", "order=-name", "ascending"),
        ("order=-name", "order=name", "descending"),
    ],
)
def test_sort_header_turns_the_order_round(query, following, sort):
    html = rendered("{% sort_header 'name' 'Name' %}", request=request_for(f"/list?{query}"))
    assert f'href="?{following}"' in html
    assert (f'aria-sort="{sort}"' in html) == bool(sort)


def test_sort_header_keeps_filters_and_forgets_the_page():
    html = rendered("{% sort_header 'name' 'Name' %}", request=request_for("/list?state=failed&cursor=abc"))
    assert 'href="?state=failed&amp;order=name"' in html


def test_navigation_shows_only_what_the_user_may_see():
    request = request_for("/")
    shown = shell.entries(request, may={}, current="overview")
    assert [str(entry.label) for entry in shown] == ["Overview"]
    assert shown[0].is_current


def test_what_next_prefers_the_pages_own_words():
    assert rendered("{% what_next 503 %}").startswith("Try again in a moment")
    assert rendered("{% what_next 503 'Start it.' %}") == "Start it."
    assert rendered("{% what_next 504 %}") == rendered("{% what_next 500 %}")


@pytest.mark.parametrize(
    ("name", "letters"), [("demo-approver", "DA"), ("ana", "AN"), ("Ana María Ruiz", "AM")]
)
def test_initials_are_two_letters(name, letters):
    assert rendered("{{ name|initials }}", name=name) == letters


# --- forms and fragments


def test_field_with_an_error_is_tied_to_its_words():
    form = Person({"age": "200", "sex": "m"})
    html = rendered("{% include '_shared/_field.html' with field=form.age unit='years' %}", form=form)
    assert 'class="form-control is-invalid"' in html
    assert 'aria-describedby="id_age_helptext id_age_error"' in html
    assert 'id="id_age_error"' in html
    assert ">years<" in html
    assert 'value="200"' in html


def test_optional_field_says_so_and_a_required_one_does_not():
    form = Person()
    assert "(optional)" in rendered("{% include '_shared/_field.html' with field=form.note %}", form=form)
    assert "(optional)" not in rendered("{% include '_shared/_field.html' with field=form.sex %}", form=form)


def test_error_summary_links_to_the_field():
    html = rendered("{% include '_shared/_form_errors.html' %}", form=Person({"sex": "m"}))
    assert '<a href="#id_age">Age</a>' in html


def test_message_becomes_a_toast_of_its_level():
    html = rendered("{% include '_shared/_toast.html' with level='error' %}", text="<b>no")
    assert "toast-bad" in html
    assert "&lt;b&gt;no" in html


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 429, 500, 502, 503])
def test_error_fragment_says_what_happened_and_what_to_do(status):
    values = {"status": status, "title": "Title", "message": "What <b>happened", "request_id": "req-1"}
    html = rendered("{% include '_shared/_error.html' %}", **values)
    assert "What &lt;b&gt;happened" in html
    assert "req-1" in html
    assert str(outcomes.next_step(status))[:20] in html.replace("&#x27;", "'")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 429, 500, 502, 503])
def test_error_page_stands_without_a_user(status):
    html = Template('{% include "errors/page.html" %}').render(
        Context({"status": status, "title": "Title", "message": "Words", "request_id": "req-1"})
    )
    assert "<h1" in html
    assert "req-1" in html


def test_lazy_labels_are_printed_in_tabs():
    assert "Models" in rendered(
        "{% tab '/m' label %}", request=request_for("/"), label=gettext_lazy("Models")
    )


@pytest.mark.parametrize(
    "source",
    [
        "{% state 'running' %}{% run_bars runs %}{% sparkline values %}{% bar 0.5 %}{% push_bar 1 2 %}",
        "{% include '_shared/_toasts.html' %}{% include '_shared/_error.html' with status=500 %}",
        "{% include '_shared/_empty.html' with title='No run yet' %}{% include '_shared/_skeleton.html' %}",
    ],
)
def test_nothing_needs_inline_script_or_style(source):
    html = rendered(source, runs=[{"state": "success"}], values=[1, 2])
    assert not re.search(r"\s(style|on\w+)=|<script(?! src)|javascript:", html)
