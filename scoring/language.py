"""The field language: how one raw input, a derived column and an answer are described."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import cached_property
from typing import Literal

from msgspec import Struct

FieldType = Literal["integer", "number", "text", "boolean"]

MAX_TEXT = 1_000  # characters of a text value
MAX_INTEGER = 2**53  # beyond it whole numbers are not exact
MAX_NUMBER = 3.4028234e38  # the models take float32

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")  # of a measure of a stream
MAX_COLUMN_NAME = 250


def own_column(name: str, taken: Collection[str]) -> str:
    """What the console's own column is called in a table whose others, `taken`, may have any name."""
    return f"atalaya.{name}" if name in taken else name


def column_name_fault(name: str) -> str:
    """Why no column of a model can be called so; empty for any name that a data frame's column may have."""
    if not name.strip():
        return "it is empty"
    if len(name) > MAX_COLUMN_NAME:
        return f"it is longer than {MAX_COLUMN_NAME} characters"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "it holds a control character or half of a character pair"
    return ""


class Label(Struct, forbid_unknown_fields=True, frozen=True):
    """A value and the words people see for it."""

    value: int | str
    label: str = ""

    @property
    def text(self) -> str:
        return self.label or str(self.value)


def bare(text: str) -> str:
    """Without spaces around it, its letters composed one way (`é` is one character or two)."""
    return unicodedata.normalize("NFC", text).strip()


class Choices(Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """The values a field knows; `open` lets others through with a warning."""

    values: list[Label]
    open: bool = False

    @cached_property
    def known(self) -> frozenset[int | str]:
        return frozenset(label.value for label in self.values)

    @cached_property
    def by_bare(self) -> dict[str, str]:
        """Texts, without those that are alike once they are bare."""
        texts = [str(label.value) for label in self.values]
        n_alike = Counter(map(bare, texts))
        return {bare(text): text for text in texts if n_alike[bare(text)] == 1}


class Field(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One raw input.

    required: the key must be present; an absent one becomes `default`, else null.
    min, max: hard bounds, outside is refused. seen: range of the training rows, outside is a warning.
    """

    name: str
    type: FieldType
    label: str = ""
    help: str = ""
    unit: str = ""
    group: str = ""
    required: bool = True
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    seen: tuple[float, float] | None = None
    choices: Choices | None = None
    default: int | float | str | bool | None = None
    personal: bool = False

    @property
    def is_text(self) -> bool:
        return self.type == "text"

    @property
    def is_numeric(self) -> bool:
        return self.type in ("integer", "number")

    @property
    def title(self) -> str:
        return self.label or self.name


class Derived(Struct, forbid_unknown_fields=True, frozen=True):
    """A column worked out from fields, on the server, the same way in training and in serving."""

    name: str
    expression: str


class Output(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """labels: the classes, in the model's own order. usual_error: of a regression, in `unit`."""

    labels: list[Label] = []
    unit: str = ""
    usual_error: float | None = None


class Demand(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """How a metric must stand against the champion's on the same hold-out: one of the two is given.

    better_by, not_worse_by: of an error as a share of the champion's (0.03 is 3 %), of a score as it is.
    """

    metric: str
    better_by: float | None = None
    not_worse_by: float | None = None

    @property
    def at_least(self) -> float:
        """The least gain that passes; below 0 where it may be a little worse."""
        return self.better_by if self.better_by is not None else -(self.not_worse_by or 0.0)
