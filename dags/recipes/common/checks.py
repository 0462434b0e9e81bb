"""What must hold of rows before a model learns from them: what does not fit is set apart with its reasons.

FARE = Column("Fare", "number", low=0, high=10_000, may_be_missing=True)
sound = sort_out(table, [FARE, …])
sound.table       # typed columns, only rows that fit
sound.rejected    # [Rejected(position, "Fare is -1, outside 0 to 10,000", row)]
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from dags.recipes.common.ledger import Rejected
from dags.recipes.common.log import say

SHOWN = 40  # characters of a value in a reason
MISSING_WORDS = frozenset({"", "?", "na", "n/a", "nan", "null"})


class DataInvalid(Exception):
    """The data cannot be used; the message lists every fault."""


@dataclass(frozen=True)
class Column:
    """What a column holds. allowed: of a closed set, in the data's words. missing_words: read as missing."""

    name: str
    kind: Literal["number", "integer", "text"] = "text"
    low: float | None = None
    high: float | None = None
    allowed: frozenset[str] | None = None
    may_be_missing: bool = False
    missing_words: frozenset[str] = MISSING_WORDS


@dataclass(frozen=True)
class Sound:
    """Rows that fit, with the index that they had; those that do not."""

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
        named = [typed[name] for name in unique]
        is_again = pd.concat(named, axis=1).duplicated() if len(typed) else pd.Series(dtype=bool)
        for position in np.flatnonzero(is_again.to_numpy()):
            reasons.setdefault(int(position), []).append(f"{' and '.join(unique)} is there before")
    rejected = [
        Rejected(position, "; ".join(found), ", ".join(str(value) for value in table.iloc[position].tolist()))
        for position, found in sorted(reasons.items())
    ]
    return Sound(typed.drop(index=list(reasons)), rejected)


def require_learnable(train: pd.DataFrame, *, beside: Iterable[str]) -> None:
    """Raises DataInvalid when `label`, or every other column, has one value only.

    beside: columns that are not learnt from. Columns that are always the same are named in the log.
    """
    if train["label"].nunique(dropna=True) < 2:
        raise DataInvalid("All rows to train on have the same label: there is nothing to learn.")
    features = [name for name in train.columns if name not in set(beside)]
    constant = [str(name) for name in features if train[name].nunique(dropna=False) < 2]
    if features and len(constant) == len(features):
        raise DataInvalid("Every column holds one value only: there is nothing to learn from.")
    if constant:
        say(f"Always the same, so they teach nothing: {', '.join(constant)}.")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: None for what is missing, Python's own numbers."""
    plain = table.astype(object).where(table.notna(), None)
    return [
        {str(name): value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _read(column: pd.Series, rule: Column) -> tuple[pd.Series, list[tuple[int, str]]]:
    texts = column.map(lambda value: None if _is_missing(value, rule.missing_words) else value)
    is_missing = texts.isna()
    faults = [] if rule.may_be_missing else [(n, f"{rule.name} is missing") for n in _places(is_missing)]
    if rule.kind == "text":
        values = texts.map(lambda value: None if value is None else str(value).strip())
        if rule.allowed is not None:
            unknown = ~is_missing & ~values.isin(rule.allowed)
            faults += [
                (n, f"{rule.name} holds {shown(values[n])}, which is none of its values")
                for n in _places(unknown)
            ]
        return values.astype(object).where(~is_missing, None), faults
    numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
    is_number = np.isfinite(numbers)
    faults += [
        (n, f"{rule.name} is {shown(texts[n])}, which is no number")
        for n in _places(~is_number & ~is_missing)
    ]
    if rule.kind == "integer":
        broken = is_number & (numbers % 1 != 0)
        faults += [
            (n, f"{rule.name} is {shown(texts[n])}, which is no whole number") for n in _places(broken)
        ]
    low, high = (-np.inf if rule.low is None else rule.low), (np.inf if rule.high is None else rule.high)
    outside = is_number & ~numbers.between(low, high)
    faults += [
        (n, f"{rule.name} is {shown(texts[n])}, outside {low:,g} to {high:,g}") for n in _places(outside)
    ]
    if rule.allowed is not None:
        unknown = is_number & ~numbers.map(lambda value: f"{value:g}").isin(rule.allowed)
        faults += [
            (n, f"{rule.name} holds {shown(texts[n])}, which is none of its values") for n in _places(unknown)
        ]
    return numbers.where(is_number), faults


def _is_missing(value: Any, words: frozenset[str]) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in words
    return value is None or bool(pd.isna(value))


def _places(mask: pd.Series) -> list[int]:
    return [int(place) for place in np.flatnonzero(mask.to_numpy())]


def shown(value: Any) -> str:
    """A value in a reason: its first characters."""
    text = str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
