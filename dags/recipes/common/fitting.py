"""Rows that the spec itself refuses are set apart before a model learns: one of them would fail its gate.

What a recipe checks when it keeps its rows, and what its spec says, are two lists; this compares the second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from dags.recipes.common.checks import DataInvalid, records
from scoring.check import MAX_ROWS, RowDecoder, RowsInvalid
from scoring.language import MAX_TEXT
from scoring.spec import Spec

MOST_CHOICES = 1_500  # of which a form makes a list; a spec takes 2,000
MOST_REFUSED = 0.1  # share of all rows above which spec and data do not speak of the same thing
_REASONS = 3  # that the sentence holds
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Apart:
    """How many of how many rows were set apart. reasons: different ones, the first of them."""

    n_rows: int
    n_refused: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.n_refused / self.n_rows if self.n_rows else 0.0

    @property
    def sentence(self) -> str:
        told = "; ".join(self.reasons)
        return f"{self.n_refused:,} of {self.n_rows:,} rows do not fit the spec and are set apart: {told}."


def spec_choices(column: pd.Series) -> list[str]:
    """The commonest texts of a column as an open choice can hold them: not too many, none too long."""
    return [text for text in column.value_counts().index if len(text) <= MAX_TEXT][:MOST_CHOICES]


def set_apart(spec: Spec, tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], Apart]:
    """The rows of each table that the spec takes. tables: fields, and what else there is.

    Raises DataInvalid when it refuses more than a tenth of them all.
    """
    names = [field.name for field in spec.fields]
    taken: dict[str, pd.DataFrame] = {}
    reasons: dict[str, None] = {}
    n_refused = 0
    for name, table in tables.items():
        refused = dict(_refused(spec, table[names]))
        taken[name] = table.drop(index=table.index[list(refused)]).reset_index(drop=True)
        reasons |= dict.fromkeys(refused.values())
        n_refused += len(refused)
    apart = Apart(sum(map(len, tables.values())), n_refused, list(reasons)[:_REASONS])
    if apart.share > MOST_REFUSED:
        raise DataInvalid(f"Too many rows do not fit. {apart.sentence}")
    return taken, apart


def _refused(spec: Spec, table: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Places and reasons. Rows are asked about by the thousand, and alone where one of these does not fit."""
    decoder = RowDecoder(spec)
    for first in range(0, len(table), MAX_ROWS):
        piece = records(table.iloc[first : first + MAX_ROWS])
        if _reason(decoder, piece):
            found = ((place, _reason(decoder, [row])) for place, row in enumerate(piece, first))
            yield from ((place, reason) for place, reason in found if reason)


def _reason(decoder: RowDecoder, rows: list[dict[str, object]]) -> str:
    """Why they are refused; empty when they are not."""
    try:
        decoder.decode_rows(rows)
    except RowsInvalid as error:
        return "; ".join(fault["message"] for fault in error.errors)[:_LONGEST_REASON]
    return ""
