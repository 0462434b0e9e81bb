"""How a gate's checks and a version's origin are told on pages: titles, figures, the chain of origin."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from models_registry.models import GateRun, ModelVersion
from models_registry.states import VersionState


@dataclass(frozen=True)
class CheckRow:
    """One check as a row: `figure` and `limit` are numbers, or None where the check has none."""

    verdict: str
    title: str
    sentence: str
    figure: float | None
    limit: float | None
    interval: list[float] | None


@dataclass(frozen=True)
class Link:
    """One link of the chain from data to champion; `kind`: "" plain, "here" this version, "open" not yet."""

    label: str
    value: str
    url: str = ""
    kind: str = ""
    title: str = ""


def check_rows(gate: GateRun, spec: dict[str, Any]) -> list[CheckRow]:
    """The checks in the order in which the gate made them."""
    labels = {field.get("name"): field.get("label") for field in spec.get("fields", [])}
    return [
        CheckRow(
            verdict=check["verdict"],
            title=_title(check["name"], gate.champion_version, labels),
            sentence=check["sentence"],
            figure=check.get("value") if check["name"] != "schema" else None,
            limit=check.get("threshold"),
            interval=check.get("interval"),
        )
        for check in gate.checks
    ]


def _title(name: str, champion: int | None, labels: dict[Any, Any]) -> str:
    kind, _colon, field = name.partition(":")
    against = f"v{champion}" if champion else ""
    titles = {
        "numbers": _("Answers every row with a number"),
        "baseline": _("Better than the baseline"),
        "champion": _("Against champion %(version)s") % {"version": against}
        if champion
        else _("Against a champion"),
        "slice": _("Slices of %(field)s") % {"field": labels.get(field) or field},
        "slices": _("Slices"),
        "better": _("Its %(metric)s is better, as demanded") % {"metric": field},
        "not_worse": _("Its %(metric)s is not worse than allowed") % {"metric": field},
        "schema": _("Takes what the champion takes"),
        "hash": _("Files as recorded"),
        "serves": _("Serves as it was trained"),
        "parity": _("Compiled model answers alike"),
        "latency": _("One row within 50 ms"),
    }
    return titles.get(kind, name)


def chain(version: ModelVersion, champion: ModelVersion | None, *, dag_id: str) -> list[Link]:
    """Data, pipeline run, MLflow run, version, champion. dag_id: whose run it is; empty for not known."""
    links = [
        Link(_("data"), version.data_sha256 or _("not recorded"), title=_source(version.data_source)),
        Link(
            _("pipeline run"), version.dag_run_id or _("none"), url=_pipeline_url(dag_id, version.dag_run_id)
        ),
        Link(_("MLflow run"), version.run_id or _("none"), url=_run_url(version.run_id)),
        Link(_("version"), f"v{version.version}", kind="here"),
    ]
    if version.state == VersionState.CHAMPION:
        return [*links, Link(_("champion"), _("now"))]
    if version.state == VersionState.RETIRED:
        return [*links, Link(_("champion"), _("until replaced"))]
    if version.state == VersionState.ARCHIVED:
        return [*links, Link(_("champion"), _("no, archived"), kind="open")]
    now = _("not yet, now v%(version)s") % {"version": champion.version} if champion else _("not yet")
    return [*links, Link(_("champion"), now, kind="open")]


def _run_url(run_id: str) -> str:
    return reverse("models:run-detail", args=[run_id]) if run_id else ""


def _pipeline_url(dag_id: str, dag_run_id: str) -> str:
    """The pipelines app, a stranger here, knows which of its runs bears this id."""
    query = urlencode({"dag_id": dag_id, "dag_run_id": dag_run_id} if dag_id else {"dag_run_id": dag_run_id})
    return f"{reverse('pipelines:run-by-dag-run')}?{query}" if dag_run_id else ""


def _source(data_source: str) -> str:
    words = {
        "features": _("from the feature store"),
        "file": _("from a file"),
        "url": _("from the public address"),
        "api": _("from a data service"),
        "synthetic": _("generated, with the columns of the real data"),
    }
    return words.get(data_source, data_source)
