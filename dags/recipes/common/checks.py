"""What must hold of rows before a model learns from them: what does not fit is set apart with its reasons.

FARE = Column("Fare", "number", low=0, high=10_000, may_be_missing=True)
sound = sort_out(table, [FARE, …])
sound.table       # typed columns, only rows that fit
sound.rejected    # [Rejected(position, "Fare is -1, outside 0 to 10,000", row)]
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from dags.recipes.common.ledger import Rejected
from dags.recipes.common.log import say
from scoring.language import MAX_TEXT

SHOWN = 40  # characters of a value in a reason
MISSING_WORDS = frozenset({"", "?", "na", "n/a", "nan", "null"})


class DataInvalid(Exception):
    """The data cannot be used; the message lists every fault."""


@dataclass(frozen=True)
class Column:
    """What a column holds. allowed: of a closed set, in the data's words. missing_words: read as missing.

    max_length: characters of a text; a spec takes no more than that by itself.
    """

    name: str
    kind: Literal["number", "integer", "text"] = "text"
    low: float | None = None
    high: float | None = None
    allowed: frozenset[str] | None = None
    may_be_missing: bool = False
    missing_words: frozenset[str] = MISSING_WORDS
    max_length: int = MAX_TEXT


@dataclass(frozen=True)
class Sound:
    """Rows that fit, whose index is their place among all; those that do not."""

    table: pd.DataFrame
    rejected: list[Rejected]

    @property
    def share_rejected(self) -> float:
        n = len(self.table) + len(self.rejected)
        return len(self.rejected) / n if n else 0.0


def require_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raises DataInvalid that names every column that is not there."""
    if missing := [name for name in names if name not in table.columns]:
        there = ", ".join(str(name) for name in table.columns[:60]) or "none"
        raise DataInvalid(f"The table lacks the columns {', '.join(missing)}; it has {there}.")


def require_unmixed(there: Iterable[str], data_source: str, things: str) -> None:
    """Raises DataInvalid where rows that were invented would stand beside real ones.

    there: the data sources of what is kept. For a pipeline with the parameter `replace`.
    """
    others = sorted(set(there) - {data_source})
    if others and "synthetic" in {*others, data_source}:
        raise DataInvalid(
            f"There are rows of {' and '.join(others)}, and these are of {data_source}: invented and real"
            f" {things} are not mixed. Run again with “Replace” to let these take their place."
        )


def sort_out(table: pd.DataFrame, columns: Sequence[Column], *, unique: Sequence[str] = ()) -> Sound:
    """Check each row against each column. unique: columns that together name a row; of two the first stays.

    Columns that are not listed stay as they are. Raises DataInvalid for a column that is not there.
    """
    require_columns(table, [column.name for column in columns])
    table = table.reset_index(drop=True)
    reasons: dict[int, list[str]] = {}
    typed = table.copy()
    for column in columns:
        values, faults = _read(table[column.name], column)
        typed[column.name] = values
        for position, fault in faults:
            reasons.setdefault(position, []).append(fault)
    if unique:
        sound = typed.drop(index=list(reasons))
        is_again = sound[list(unique)].astype(str).duplicated()
        for position in sound.index[is_again]:
            reasons[int(position)] = [f"{' and '.join(unique)} is there before"]
    rejected = [
        Rejected(
            position,
            "; ".join(found),
            ", ".join(_shown_whole(value) for value in table.iloc[position].tolist()),
        )
        for position, found in sorted(reasons.items())
    ]
    return Sound(typed.drop(index=list(reasons)), rejected)


def require_learnable(train: pd.DataFrame, *, beside: Iterable[str], label: str = "label") -> None:
    """Raises DataInvalid when the label, or every other column, has one value only.

    beside: columns that are not learnt from. Columns that are always the same are named in the log.
    """
    if train[label].nunique(dropna=True) < 2:
        raise DataInvalid("All rows to train on have the same label: there is nothing to learn.")
    features = [name for name in train.columns if name not in set(beside)]
    constant = [str(name) for name in features if train[name].nunique(dropna=False) < 2]
    if features and len(constant) == len(features):
        raise DataInvalid("Every column holds one value only: there is nothing to learn from.")
    if constant:
        say(f"Always the same, so they teach nothing: {', '.join(constant)}.")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: None for what is missing, Python's own numbers, a whole one without a fraction.

    So the same row is the same whatever else is in its table, where one gap makes a column of floats.
    """
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): _plain(value) for name, value in row.items()} for row in plain.to_dict("records")]


def row_texts(table: pd.DataFrame) -> list[str]:
    """Each row as one text: the same for the same row."""
    return [json.dumps(row, sort_keys=True, default=str) for row in records(table)]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(column: pd.Series, rule: Column) -> tuple[pd.Series, list[tuple[int, str]]]:
    """Value by value, so that an odd one is its own row's fault alone."""
    read: list[Any] = []
    faults: list[tuple[int, str]] = []
    for position, value in enumerate(column.tolist()):
        try:
            read.append(_value(value, rule))
        except _Fault as fault:
            read.append(None)
            faults.append((position, f"{rule.name} {fault}"))
    kind = object if rule.kind == "text" else "float64"
    return pd.Series(read, index=column.index, dtype=kind), faults


class _Fault(Exception):
    """Why a value does not fit."""


def _value(value: Any, rule: Column) -> Any:
    """As the column has it; None for what is missing. Raises _Fault."""
    if isinstance(value, list | dict | tuple | set | bool | np.bool_):
        raise _Fault(f"is {shown(value)}, which is neither a number nor text")
    if _is_missing(value, rule.missing_words):
        if rule.may_be_missing:
            return None
        raise _Fault("is missing")
    if rule.kind == "text":
        text = str(_plain(value)).strip()
        if rule.allowed is not None and text not in rule.allowed:
            raise _Fault(f"holds {shown(text)}, which is none of its values")
        if len(text) > rule.max_length:
            raise _Fault(f"has {len(text):,} characters, at most {rule.max_length:,} are taken")
        return text
    return _number(value, rule)


def _number(value: Any, rule: Column) -> float:
    if isinstance(value, str) and "_" in value:  # Python reads 1_5 as 15
        raise _Fault(f"is {shown(value)}, which is no number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Fault(f"is {shown(value)}, which is no number")
    if rule.kind == "integer" and not number.is_integer():
        raise _Fault(f"is {shown(value)}, which is no whole number")
    low, high = (-math.inf if rule.low is None else rule.low), (math.inf if rule.high is None else rule.high)
    if not low <= number <= high:
        raise _Fault(f"is {shown(value)}, outside {low:,g} to {high:,g}")
    if rule.allowed is not None and str(_plain(number)) not in rule.allowed:
        raise _Fault(f"holds {shown(value)}, which is none of its values")
    return number


def _is_missing(value: Any, words: frozenset[str]) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in words
    return value is None or bool(pd.isna(value))


def _shown_whole(value: Any) -> str:
    try:
        return str(value)
    except ValueError:
        return shown(value)


def shown(value: Any) -> str:
    """A value in a reason: its first characters."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
