"""The form of an alert rule."""

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from core.alerts.states import Severity
from core.lib.errors import ConsoleError
from core.lib.typed import WholeField
from pipelines import alert_rules, verdicts
from pipelines.alert_rule_models import AlertRule, RuleKind

MOST: Final = 1_000_000
UNITS: Final = ((1, _("seconds")), (60, _("minutes")), (3600, _("hours")), (86400, _("days")))


class AlertRuleForm(forms.Form):
    """`wish()` is the rule as it was typed; the limit has a number and a unit."""

    kind = forms.ChoiceField(label=_("A pipeline"), choices=RuleKind.choices)
    amount = WholeField(
        label=_("Limit"),
        required=False,
        min_value=1,
        max_value=MOST,
        help_text=_("How long it may take, or may be; none for pipelines that failed."),
    )
    unit = forms.TypedChoiceField(label=_("Unit"), choices=UNITS, coerce=int, initial=60)
    pattern = forms.CharField(
        label=_("Pipelines"),
        max_length=250,
        help_text=_("A name, or a pattern: * stands for any characters, as in titanic_*."),
    )
    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices, initial=Severity.WARNING)

    @classmethod
    def of(cls, rule: AlertRule) -> "AlertRuleForm":
        """Filled with a rule that there is."""
        unit = next(one for one, _word in reversed(UNITS) if rule.limit_s % one == 0)
        return cls(
            initial={
                "kind": rule.kind,
                "amount": rule.limit_s // unit or None,
                "unit": unit if rule.limit_s else 60,
                "pattern": rule.pattern,
                "severity": rule.severity,
            }
        )

    def clean(self) -> dict[str, Any]:
        """A limit that can be, for the kinds that have one."""
        cleaned = super().clean() or {}
        has_limit = cleaned.get("kind") not in verdicts.WITHOUT_LIMIT
        if has_limit and {"kind", "amount", "unit"} <= cleaned.keys() and (fault := self._fault(cleaned)):
            self.add_error("amount", fault)
        return cleaned

    def _fault(self, cleaned: dict[str, Any]) -> str:
        """What is wrong with the limit: the preview reckons with it, too."""
        if cleaned["amount"] is None:
            return str(_("Say how long it may take."))
        return alert_rules.limit_fault(cleaned["kind"], cleaned["amount"] * cleaned["unit"])

    def wish(self) -> dict[str, Any]:
        """The fields of the rule."""
        given = self.cleaned_data
        has_limit = given["kind"] not in verdicts.WITHOUT_LIMIT
        return {
            "kind": given["kind"],
            "pattern": given["pattern"],
            "limit_s": given["amount"] * given["unit"] if has_limit else 0,
            "severity": given["severity"],
        }

    def refuse(self, error: ConsoleError) -> None:
        """What an action said of the values, at their fields."""
        for fault in error.errors or [{"field": "", "message": error.message}]:
            name = {"limit_s": "amount"}.get(fault["field"], fault["field"])
            self.add_error(name if name in self.fields else None, fault["message"])
