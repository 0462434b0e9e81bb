"""Numbers as people type them, in either language."""

import pytest
from django import forms
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from core.lib.templatetags.numbers import whole
from core.lib.typed import NotANumber, NumberField, WholeField, number, shown


@pytest.mark.parametrize(
    ("language", "text", "meant"),
    [
        ("es", "7,25", "7.25"),
        ("es", "7.25", "7.25"),
        ("es", "19,900", "19.900"),
        ("es", "0.125", "0.125"),
        ("es", "1.234,5", "1234.5"),
        ("es", "1.234.567", "1234567"),
        ("en", "7.25", "7.25"),
        ("en", "7,25", "7.25"),
        ("en", "19.900", "19.900"),
        ("en", "1,234.5", "1234.5"),
        ("en", "1,234,567.25", "1234567.25"),
        ("en", "0,125", "0.125"),
        ("en", "1234,567", "1234.567"),
        ("en", "19 900", "19900"),
        ("en", "19\u202f900", "19900"),
        ("es", "19\u00a0900,5", "19900.5"),
        ("en", "19'900", "19900"),
        ("en", " -3 ", "-3"),
        ("en", "\u22123", "-3"),
        ("en", "+.5", "+0.5"),
        ("en", "5.", "5"),
        ("en", "1e-05", "1e-05"),
        ("es", "1,5E3", "1.5e3"),
    ],
)
def test_a_number_is_read_as_meant(language, text, meant):
    with override(language):
        assert number(text) == meant


@pytest.mark.parametrize(
    ("language", "text"), [("es", "19.900"), ("es", "1.234"), ("en", "19,900"), ("en", "-1,234")]
)
def test_what_may_be_two_numbers_is_not_guessed_at(language, text):
    with override(language), pytest.raises(NotANumber, match=r"19900|1234"):
        number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1 2",
        "1,2,3",
        "1.2.3",
        "12,34.5",
        "1,23,456",
        ".",
        ",",
        "--1",
        "1e",
        "nan",
        "inf",
        "0x1",
        "١",
    ],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(NotANumber, match="Write a number"):
        number(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["en", "es"]))
def test_what_is_shown_can_be_sent(value, language):
    with override(language):
        assert float(number(shown(value))) == value


@given(st.integers(-(10**12), 10**12), st.sampled_from(["en", "es"]))
def test_what_the_pages_write_can_be_typed(value, language):
    with override(language):
        assert int(number(whole(value))) == value


class Sheet(forms.Form):
    share = NumberField(min_value=0.5, initial=0.75)
    rows = WholeField(max_value=20_000, initial=500)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("share", "7,x", "Write a number, such as 7.25."),
        ("share", "0,25", "Write 0.5 or more."),
        ("share", "", "This is required: fill it in."),
        ("share", "1e999", "Write a number."),
        ("rows", "2,5", "Write a whole number, such as 12."),
        ("rows", "1,234", "Is this 1234 or 1.234? Write it one of these ways."),
        ("rows", "20001", "Write 20000 or less."),
    ],
)
def test_fields_speak_in_our_words(field, text, message):
    form = Sheet({"share": "0,75", "rows": "20 000", field: text})
    assert form.errors == {field: [message]}


def test_a_field_is_drawn_and_read_in_its_readers_language():
    with override("es"):
        assert 'value="0,75"' in str(Sheet()["share"])
        form = Sheet({"share": "0,75", "rows": "500"})
        assert form.is_valid()
        assert form.cleaned_data == {"share": 0.75, "rows": 500}
        assert 'value="7,x"' in str(Sheet({"share": "7,x", "rows": ""})["share"])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("6", "6"),
        ("-6", "-6"),
        ("12 000", "12000"),
        ("9007199254740993", "9007199254740993"),
        ("6.0", "6.0"),
        ("6e0", "6.0"),
        ("6.5", "6.5"),
        ("", "None"),
    ],
)
def test_a_whole_number_stays_one(text, read):
    """As JSON keeps them apart: a program may refuse 6.0 where it counts."""
    assert repr(NumberField().to_python(text)) == read


def test_a_choice_is_refused_in_our_words():
    field = forms.ChoiceField(choices=[("a", "A")])
    with pytest.raises(forms.ValidationError, match="is none of the choices"):
        field.clean("b")
