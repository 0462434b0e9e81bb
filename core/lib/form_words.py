"""What a form says about a value it cannot take: the console's words instead of the framework's, set once."""

from typing import Any

from django import forms
from django.core import validators
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

WORDS: dict[type[forms.Field], dict[str, Any]] = {
    forms.Field: {"required": _("This is required: fill it in.")},
    forms.IntegerField: {"invalid": _("Write a whole number, such as 12.")},
    forms.FloatField: {"invalid": _("Write a number.")},
    forms.DecimalField: {"invalid": _("Write a number.")},
    forms.DateField: {"invalid": _("Write a date like 2026-03-01.")},
    forms.TimeField: {"invalid": _("Write a time like 14:30.")},
    forms.DateTimeField: {"invalid": _("Write a date and a time like 2026-03-01 14:30.")},
    forms.ChoiceField: {"invalid_choice": _("%(value)s is none of the choices: choose one from the list.")},
    forms.MultipleChoiceField: {
        "invalid_choice": _("%(value)s is none of the choices: choose from the list."),
        "invalid_list": _("Choose from the list."),
    },
    forms.JSONField: {"invalid": _('Write JSON, such as {"depth": 10}.')},
    forms.UUIDField: {"invalid": _("Write an id, as the page of the thing shows it.")},
}
LIMITS: dict[type[validators.BaseValidator], object] = {
    validators.MinValueValidator: _("Write %(limit_value)s or more."),
    validators.MaxValueValidator: _("Write %(limit_value)s or less."),
    validators.MinLengthValidator: ngettext_lazy(
        "Write at least %(limit_value)d character; these are %(show_value)d.",
        "Write at least %(limit_value)d characters; these are %(show_value)d.",
        "limit_value",
    ),
    validators.MaxLengthValidator: ngettext_lazy(
        "Write at most %(limit_value)d character; these are %(show_value)d.",
        "Write at most %(limit_value)d characters; these are %(show_value)d.",
        "limit_value",
    ),
}


def install() -> None:
    """For every form of the process."""
    for field, words in WORDS.items():
        field.default_error_messages = {**vars(field).get("default_error_messages", {}), **words}
    for validator, message in LIMITS.items():
        validator.message = message  # type: ignore[assignment]
