"""What an original takes for missing text: the console has "", other people's training None, NaN or NA.

A fitted imputer or encoder takes only the kind that it learnt from; the others are just another value to it.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["", "none", "nan", "na"]
Kinds = dict[str, Kind]  # by text column; "" where a column is left out

KINDS: tuple[Kind, ...] = ("", "nan", "none", "na")
# Beside the model's folder; the runner reads it.
FILE = "missing.json"


def read(folder: Path) -> Kinds:
    """What was written there; nothing where nothing was. Raises OSError, msgspec.DecodeError."""
    path = folder / FILE
    return msgspec.json.decode(path.read_bytes(), type=Kinds) if path.is_file() else {}


def write(folder: Path, kinds: Mapping[str, str]) -> None:
    """For the model in a folder below."""
    (folder / FILE).write_bytes(msgspec.json.encode(dict(kinds)))


def column(values: np.ndarray, kind: Kind) -> "pd.Series[Any]":
    """A text column of the console as training had it."""
    import pandas as pd

    value: Any = {"": "", "nan": math.nan, "none": None, "na": pd.NA}[kind]
    own = values.copy()
    own[own == ""] = value
    return pd.Series(own, dtype=object)


def hinted(estimator: Any) -> list[Kind]:
    """All kinds, first those that a fitted part has among its categories or imputes."""
    found = [kind for part in _parts(estimator, depth=0) for value in _learnt(part) if (kind := _kind(value))]
    return list(dict.fromkeys([*found, *KINDS]))


def _parts(part: Any, *, depth: int) -> Iterator[Any]:
    if depth > 6:
        return
    yield part
    for name in ("steps", "transformers_", "transformer_list"):
        for entry in getattr(part, name, None) or []:
            yield from _parts(entry[1], depth=depth + 1)


def _learnt(part: Any) -> Iterator[Any]:
    """Values of a part that deals with text; numbers have NaN alone."""
    for categories in getattr(part, "categories_", None) or []:
        if _holds_text(categories):
            yield from categories
    if _holds_text(getattr(part, "statistics_", None)):
        yield part.missing_values


def _holds_text(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.hasobject


def _kind(value: Any) -> Kind | None:
    if value is None:
        return "none"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return "na" if type(value).__name__ == "NAType" else None
