"""What comes in from the pages of access."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from core.access import policy, queries, tokens, words
from core.access.models import User

LONGEST_PASSWORD = 256
LONGEST_NAME = 150


def _limit(field: forms.Field) -> None:
    """Hashing takes time in proportion to what is typed."""
    field.widget.attrs["maxlength"] = LONGEST_PASSWORD
    field.validators.append(MaxLengthValidator(LONGEST_PASSWORD))


class SignInForm(AuthenticationForm):
    """Name and password. The answer is the same whichever of the two is wrong."""

    error_messages = {
        "invalid_login": _(
            "This name and password do not belong together. Check both; capital letters count in a password."
        ),
        "inactive": _("This account is deactivated. Ask an administrator."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Name")
        self.fields["password"].label = _("Password")
        self.fields["username"].validators.append(MaxLengthValidator(LONGEST_NAME))
        _limit(self.fields["password"])


class OwnPasswordForm(PasswordChangeForm):
    """The present password, and a new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = _("Present password")
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password2"].label = _("New password again")
        self.fields["new_password1"].help_text = _(
            "At least 12 characters, not only digits, not like your name. Four unrelated words do well."
        )
        self.fields["new_password2"].help_text = ""
        for field in self.fields.values():
            _limit(field)

    def clean_new_password1(self) -> str:
        """Not the present one: a one-time password is for one use."""
        new = self.cleaned_data["new_password1"]
        if new == self.cleaned_data.get("old_password"):
            raise ValidationError(_("This is your present password. Choose another."))
        return new


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
    days = forms.IntegerField(
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
