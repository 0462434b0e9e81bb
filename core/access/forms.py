"""What comes in from the pages of access."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.access import limits, policy, queries, reader, tokens, words
from core.access.models import User
from core.lib.typed import WholeField

LONGEST_PASSWORD = 256
LONGEST_NAME = 150


def _limit(field: forms.Field) -> None:
    """Hashing takes time in proportion to what is typed."""
    field.widget.attrs["maxlength"] = LONGEST_PASSWORD
    field.validators.append(MaxLengthValidator(LONGEST_PASSWORD))


class SignInForm(AuthenticationForm):
    """Name and password. The answer is the same whichever of the two is wrong.

    wait_s: how long to wait after too many wrong ones, else 0.
    """

    wait_s = 0

    error_messages = {
        "invalid_login": _("Wrong name or password. Check both; passwords are case-sensitive."),
        "inactive": _("This account is deactivated. Ask an administrator."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Name")
        self.fields["password"].label = _("Password")
        self.fields["username"].validators.append(MaxLengthValidator(LONGEST_NAME))
        _limit(self.fields["password"])

    def clean(self) -> dict[str, Any]:
        """The password is looked at only while there is no need to wait."""
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password") or self.request is None:
            return super().clean()
        try:
            attempt = limits.sign_in(name, self.request)
        except limits.TooManyAttempts as error:
            self.wait_s = error.retry_after_s
            raise ValidationError(error.message) from error
        try:
            cleaned = super().clean()
        except ValidationError as error:
            self.wait_s = attempt.wait_s()
            if self.wait_s:
                raise ValidationError(limits.words(self.wait_s)) from error
            raise
        attempt.succeeded()
        return cleaned


class OwnPasswordForm(PasswordChangeForm):
    """The current password, and a new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = _("Current password")
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password2"].label = _("New password again")
        self.fields["new_password1"].help_text = _(
            "At least 12 characters, not only digits, not like your name. Four unrelated words do well."
        )
        self.fields["new_password2"].help_text = ""
        for field in self.fields.values():
            _limit(field)

    def clean_old_password(self) -> str:
        """Not guessed without end either. Raises TooManyAttempts."""
        attempt = limits.current_password(self.user)
        current = super().clean_old_password()
        attempt.succeeded()
        return current

    def clean_new_password1(self) -> str:
        """Not the present one: a one-time password is for one use."""
        new = self.cleaned_data["new_password1"]
        if new == self.cleaned_data.get("old_password"):
            raise ValidationError(_("This is your current password. Choose another."))
        return new


def _language_choices() -> list[tuple[str, Any]]:
    return [("", _("As the browser asks")), *settings.LANGUAGES]


class PreferencesForm(forms.Form):
    """How pages speak to this person: language and time zone, or what their browser says."""

    language = forms.ChoiceField(label=_("Language"), choices=_language_choices, required=False)
    time_zone = forms.CharField(
        label=_("Time zone"),
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"list": "zones", "autocomplete": "off"}),
        help_text=_("Pages write times in it, and read those that you type. REST and exports stay in UTC."),
    )

    def __init__(self, *args: Any, browser_zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        of_browser = gettext("As the browser says: %(zone)s") % {"zone": browser_zone}
        self.fields["time_zone"].widget.attrs["placeholder"] = of_browser

    def clean_time_zone(self) -> str:
        """A zone that there is, or none."""
        name: str = self.cleaned_data["time_zone"]
        if name and name not in reader.zone_names():
            raise ValidationError(
                _("There is no such time zone. Choose one of the list, such as Europe/Madrid.")
            )
        return name


def _role_choices() -> list[tuple[str, Any]]:
    return [(role, words.ROLES[role]) for role in policy.ROLES]


class RolesField(forms.MultipleChoiceField):
    """Roles as check boxes."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Roles"), choices=_role_choices, widget=forms.CheckboxSelectMultiple, required=False
        )


class UserForm(forms.Form):
    """A new person."""

    username = forms.CharField(
        label=_("Name"),
        max_length=150,
        help_text=_("Letters, digits and @ . + - _; it cannot be changed later."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    email = forms.EmailField(label=_("E-mail"), max_length=254, required=False)
    roles = RolesField()


class UserEditForm(forms.Form):
    """What an administrator changes of a person."""

    email = forms.EmailField(label=_("E-mail"), max_length=254, required=False)
    roles = RolesField()

    @classmethod
    def of(cls, user: User, data: Any = None) -> "UserEditForm":
        """The form as the user is now."""
        return cls(data, initial={"email": user.email, "roles": user.role_names})


def _role_filter() -> list[tuple[str, Any]]:
    return [("", _("Every role")), *((role, role) for role in policy.ROLES)]


def _state_choices() -> list[tuple[str, Any]]:
    return [("", _("Every state")), *queries.USER_STATE_WORDS.items()]


class UserFilters(forms.Form):
    """Which users the list shows."""

    words = forms.CharField(label=_("Name or e-mail"), max_length=150, required=False)
    role = forms.ChoiceField(label=_("Role"), choices=_role_filter, required=False)
    state = forms.ChoiceField(label=_("State"), choices=_state_choices, required=False)
    order = forms.ChoiceField(choices=[(order, order) for order in queries.USER_ORDERS], required=False)


class TokenFilters(forms.Form):
    """Which tokens the list shows."""

    words = forms.CharField(label=_("Token or owner"), max_length=150, required=False)
    state = forms.ChoiceField(
        label=_("State"),
        choices=[("", _("Every state")), ("active", _("Active")), ("over", _("Revoked or expired"))],
        required=False,
    )


class TokenForm(forms.Form):
    """A new token of the person who asks."""

    name = forms.CharField(
        label=_("Name"), max_length=100, help_text=_("Where it will be used, such as “nightly report”.")
    )
    days = WholeField(
        label=_("Lives for"), min_value=1, max_value=tokens.LONGEST_DAYS, initial=tokens.DEFAULT_DAYS
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = policy.scopes_of(user)
        offered = [(scope, words.SCOPES[scope]) for scope in policy.SCOPES if scope in held]
        self.fields["scopes"] = forms.MultipleChoiceField(
            label=_("May"),
            choices=offered,
            widget=forms.CheckboxSelectMultiple,
            error_messages={"required": _("Choose at least one.")},
        )


class LimitForm(forms.Form):
    """What may try to sign in again: a name, by its key, or an address."""

    key = forms.RegexField(r"\A[0-9a-f]{64}\Z", required=False)
    address = forms.CharField(max_length=64, required=False)

    def clean(self) -> dict[str, Any]:
        """One of the two."""
        values = super().clean() or {}
        if not values.get("key") and not values.get("address"):
            raise ValidationError(_("Say which name or address may try again."))
        return values
