"""What people type: reasons, decisions, a policy."""

from django import forms
from django.utils.translation import gettext_lazy as _

from models_registry.states import LONGEST_REASON, Policy


class ReasonForm(forms.Form):
    """Why; always asked, because the ledger keeps it."""

    reason = forms.CharField(
        label=_("Your reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why: it is kept with the decision.")},
    )


class DecisionForm(ReasonForm):
    """Approve or reject, by the button that was pressed."""

    decision = forms.ChoiceField(
        label=_("Decision"),
        choices=[("approve", "approve"), ("reject", "reject")],
        widget=forms.HiddenInput,
        error_messages={
            "required": _("Say whether you approve or reject: press one of the two buttons."),
            "invalid_choice": _("A promotion is approved or rejected: press one of the two buttons."),
        },
    )


class RollbackForm(ReasonForm):
    """Back to the version that the page named."""

    to = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class PolicyForm(forms.Form):
    """Who approves promotions."""

    policy = forms.ChoiceField(label=_("Approval"), choices=Policy.choices)
