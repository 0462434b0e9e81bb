"""spec.json: what a model version takes, what it answers, and how both are shown to people.

Forms, request checks, file checks, OpenAPI and drift columns all come from this one description, so a model
trained anywhere can be served. `spec_reading` reads one, `spec_faults` says what can be wrong with it.
"""

import codecs
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct

from scoring.language import Demand, Derived, Field, Output, own_column

Task = Literal["classification", "regression"]

METRICS: dict[str, frozenset[str]] = {
    "classification": frozenset({"accuracy", "macro_f1", "roc_auc", "log_loss"}),
    "regression": frozenset({"mae", "rmse", "r2"}),
}
ERROR_METRICS = frozenset({"log_loss", "mae", "rmse"})  # smaller is better


def parsed(data: bytes | str) -> Any:
    """What the JSON of a description says, with or without the byte order mark that some editors write.

    Raises msgspec.DecodeError, UnicodeDecodeError, RecursionError.
    """
    mark = "\ufeff" if isinstance(data, str) else codecs.BOM_UTF8
    return msgspec.json.decode(data.removeprefix(mark))  # type: ignore[arg-type]


class Spec(Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """`title` is the question the form asks; `entity` is what one row describes.

    gate: what the gate demands of a version beside its general checks.
    """

    task: Task
    fields: list[Field]
    output: Output
    primary_metric: str
    derived: list[Derived] = []
    slices: list[str] = []
    gate: list[Demand] = []
    title: str = ""
    entity: str = ""
    description: str = ""
    example: dict[str, Any] = {}
    format: Literal[1] = 1

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @cached_property
    def columns(self) -> list[str]:
        """The model's input columns, in order."""
        return [field.name for field in self.fields] + [derived.name for derived in self.derived]

    @cached_property
    def label_column(self) -> str:
        """Of the truth, in the reference and the hold-out."""
        return own_column("label", self.columns)

    @cached_property
    def score_column(self) -> str:
        """Of the score that training gave, in the reference."""
        return own_column("score", self.columns)

    @cached_property
    def text_columns(self) -> list[str]:
        return [field.name for field in self.fields if field.is_text]

    @cached_property
    def number_columns(self) -> list[str]:
        return [name for name in self.columns if name not in self.text_columns]

    @cached_property
    def metric_is_error(self) -> bool:
        return self.primary_metric in ERROR_METRICS

    @cached_property
    def class_values(self) -> list[int | str]:
        """Empty for a regression."""
        return [label.value for label in self.output.labels]

    def field(self, name: str) -> Field:
        """Raises KeyError for a name that is no field."""
        return self._fields_by_name[name]

    @cached_property
    def _fields_by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}
