"""Boxes for numbers take what pages write, "1 000" among it: a browser's own drops what it does not read."""

import re
from pathlib import Path

from django import forms
from django.conf import settings
from django.urls import get_resolver

from core.audit.forms import Cursor  # reads an address, and is drawn nowhere

PLAIN = {forms.IntegerField, forms.FloatField, forms.DecimalField}


def every_form(form=forms.BaseForm):
    for one in form.__subclasses__():
        yield one
        yield from every_form(one)


def test_no_form_has_a_browsers_box_for_numbers():
    assert get_resolver().url_patterns  # with the pages their forms are there
    ours = [
        one for one in every_form() if not one.__module__.startswith(("django", "tests", "rest_framework"))
    ]
    assert len(ours) > 20
    boxes = [
        f"{one.__module__}.{one.__name__}.{name}"
        for one in ours
        for name, field in getattr(one, "base_fields", {}).items()
        if one is not Cursor and type(field) in PLAIN and not isinstance(field.widget, forms.HiddenInput)
    ]
    assert boxes == []


def test_no_template_draws_one():
    written = Path(settings.BASE_DIR, "templates").rglob("*.html")
    assert [path.name for path in written if re.search(r'type="number"', path.read_text())] == []
