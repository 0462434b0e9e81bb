"""The form of a backfill: which dates, and how."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from core.lib import edge, json_out
from core.lib.schema_form import Described, Option, SchemaForm
from pipelines.backfill_answers import WantedBackfill
from pipelines.backfill_models import MOST_AT_ONCE, Reprocess
from pipelines.models import LONGEST_NOTE, Pipeline


class BackfillForm(SchemaForm):
    """`wanted()` gives what to ask for once the form is valid."""

    def __init__(self, pipeline: Pipeline, *args: Any, **options: Any) -> None:
        self.pipeline = pipeline
        super().__init__(_described(pipeline), *args, **options)

    def clean_from_date(self) -> Any:
        """A time that the reader's clocks show, or those of the schedule's zone."""
        return self._there("from_date")

    def clean_to_date(self) -> Any:
        """A time that the reader's clocks show."""
        return self._there("to_date")

    def _there(self, name: str) -> Any:
        is_readers = not self.pipeline.is_partitioned
        if is_readers and edge.is_skipped(str(self.data.get(name, ""))):
            raise forms.ValidationError(
                _("Clocks were put forward over this time: there was none. Give another.")
            )
        return self.cleaned_data[name]

    def clean_conf(self) -> dict[str, Any]:
        """An object, or nothing."""
        value = self.cleaned_data["conf"]
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise forms.ValidationError(_("Write a JSON object, in braces."))
        return value

    def wanted(self) -> WantedBackfill:
        """What the fields say."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "reason"}
        return WantedBackfill(self.pipeline.dag_id, **given)

    def digest(self) -> str:
        """What is the same as long as the fields say the same: a preview is of these alone."""
        if not self.is_valid():
            return ""
        return hashlib.sha256(json_out.encode(self.wanted().as_json())).hexdigest()

    def add_faults(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Each at its field; a parameter's at the settings."""
        for fault in faults:
            name = fault["field"]
            is_param = name.startswith("conf.")
            words = f"{name.removeprefix('conf.')}: {fault['message']}" if is_param else fault["message"]
            self.add_fault("conf" if is_param else name, words)


def _described(pipeline: Pipeline) -> list[Described]:
    kind, zone = "moment", _of_schedule(pipeline)
    if pipeline.is_partitioned:
        kind, zone = "wall_clock", _("By the clock of its schedule's zone.")
    settings = _("A JSON object for every run. When empty, runs that are made again keep theirs.")
    if pipeline.is_partitioned:
        settings = _(
            "A JSON object for every run. Each is a new one: settings of earlier runs are not taken over."
        )
    described = [
        Described("from_date", kind, label=_("First date"), help=_("Included.")),
        Described("to_date", kind, label=_("Last date"), help=f"{_('Included.')} {zone}"),
        Described(
            "reprocess_behavior",
            "choice",
            label=_("Which dates run"),
            default=Reprocess.NONE.value,
            options=[Option(value, str(label), value) for value, label in Reprocess.choices],
        ),
        Described(
            "max_active_runs", "integer", label=_("At once"), default=10, minimum=1, maximum=MOST_AT_ONCE
        ),
        Described("run_backwards", "boolean", label=_("The newest date first"), default=False),
        Described(
            "run_on_latest_version",
            "boolean",
            label=_("Newest code"),
            help=_("For runs that are made again."),
            required=False,
            nullable=True,
        ),
        Described("conf", "json", label=_("Settings"), help=settings, required=False),
        Described(
            "reason",
            "multiline",
            label=_("Reason"),
            help=_("It stays with the backfill."),
            required=False,
            max_length=LONGEST_NOTE,
        ),
    ]
    # Airflow makes no run of a partitioned pipeline again, but new ones, which take the newest code anyway.
    left_out = {"run_on_latest_version"} if pipeline.is_partitioned else set()
    return [one for one in described if one.name not in left_out]


def _of_schedule(pipeline: Pipeline) -> str:
    if pipeline.has_own_zone:
        return _("The pipeline's schedule is read in a zone of its own, which Airflow does not tell.")
    return _("The pipeline's schedule is read in %(zone)s.") % {"zone": pipeline.timezone or "UTC"}
