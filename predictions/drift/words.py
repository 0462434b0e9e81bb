"""What was found, in sentences: for the alert, the pages and the tooltips."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib.templatetags import numbers
from predictions.models import DriftWindow

MOST_NAMED = 5

_MEASURES = {"wasserstein": gettext_lazy("standard deviations (Wasserstein)"), "psi": gettext_lazy("PSI")}
_SHARES = {
    "missing": gettext_lazy("share of missing values"),
    "unseen": gettext_lazy("share of unseen values"),
    "out_of_range": gettext_lazy("share out of range"),
}
_TESTS = {
    "ks": gettext_lazy("Kolmogorov–Smirnov"),
    "chi_square": gettext_lazy("chi-square"),
    "fisher": gettext_lazy("Fisher"),
}


def title_of(column: dict[str, Any]) -> str:
    """The column's label; the model's score has none of its own."""
    return _("Score of the model") if column["is_score"] else str(column["title"])


def drifted_titles(window: DriftWindow) -> str:
    """ "Age, Fare and 3 more", the strongest first."""
    titles = [title_of(column) for column in window.drifted_columns]
    named, n_more = titles[:MOST_NAMED], len(titles) - MOST_NAMED
    listed = ", ".join(named)
    return _("%(names)s and %(n)d more") % {"names": listed, "n": n_more} if n_more > 0 else listed


def effect(check: dict[str, Any]) -> str:
    """The effect against its limit, in its measure."""
    value, limit = numbers.significant(check["value"], 3), f"{check['limit']:g}"
    if check["measure"] == "share":
        value, limit = numbers.percent(check["value"]), numbers.percent(check["limit"])
    return _("%(value)s, limit %(limit)s") % {"value": value, "limit": limit}


def measure(check: dict[str, Any]) -> str:
    """What the effect is measured in."""
    if check["measure"] == "share":
        return str(_SHARES.get(check["what"], ""))
    return str(_MEASURES[check["measure"]])


def test_name(check: dict[str, Any]) -> str:
    """The test behind the p-value."""
    return str(_TESTS[check["test"]])


def finding(check: dict[str, Any]) -> str:
    """One sentence about a check that alarmed."""
    if check["measure"] == "share":
        sentence = {
            "missing": _("%(now)s of the values are missing; in the reference %(before)s are."),
            "unseen": _("%(now)s of the values are none that the model has seen."),
            "out_of_range": _("%(now)s of the values are out of the range that the model has seen."),
        }[check["what"]]
        return sentence % {
            "now": numbers.percent(check["window"]),
            "before": numbers.percent(check["reference"]),
        }
    sentence = {
        "wasserstein": _(
            "The distribution moved by %(value)s standard deviations; from %(limit)s on it counts."
        ),
        "psi": _("The distribution moved: PSI %(value)s; from %(limit)s on it counts."),
    }[check["measure"]]
    return sentence % {"value": numbers.significant(check["value"], 3), "limit": f"{check['limit']:g}"}


def findings(column: dict[str, Any]) -> list[str]:
    """A sentence for each check that alarmed."""
    return [finding(check) for check in column["checks"] if check["is_drifted"]]


def fact_name(column: dict[str, Any], check: dict[str, Any]) -> str:
    """ "Age, PSI": what a number of an alert is about."""
    return f"{title_of(column)}, {measure(check)}"


def fact(check: dict[str, Any]) -> dict[str, Any]:
    """The number itself, beside the limit that it passed."""
    unit = "share" if check["measure"] == "share" else ""
    return {"value": check["value"], "threshold": check["limit"], "unit": unit}


def p_value(value: float) -> str:
    """Small ones as what they are smaller than."""
    return numbers.significant(value, 2) if value >= 0.0001 else _("< 0.0001")
