"""A batch of listings: what must hold of its rows, and what is kept of those that fit."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pandas as pd

from dags.recipes.common import checks
from dags.recipes.common.checks import Column, DataInvalid
from dags.recipes.common.ledger import Clean, Rejected

COLUMNS = [
    "brokered_by", "status", "price", "bed", "bath", "acre_lot", "street", "city", "state", "zip_code",
    "house_size", "prev_sold_date",
]  # fmt: skip
CLEAN_COLUMNS = [*COLUMNS, "house", "sold_year"]

# Beyond these a listing is a slip of the keyboard, or nothing that a model of houses should learn from.
RULES = [
    Column("brokered_by", "number", low=0, may_be_missing=True),
    Column("status", allowed=frozenset({"for_sale", "ready_to_build", "sold"})),
    Column("price", "number", low=1_000, high=20_000_000),
    Column("bed", "integer", low=0, high=50, may_be_missing=True),
    Column("bath", "number", low=0, high=50, may_be_missing=True),
    Column("acre_lot", "number", low=0, high=10_000, may_be_missing=True),
    Column("street", may_be_missing=True),
    Column("city", max_length=200),
    Column("state", max_length=200),
    Column("zip_code"),
    Column("house_size", "number", low=100, high=100_000, may_be_missing=True),
    Column("prev_sold_date", may_be_missing=True),
]
_ZIP = re.compile(r"[0-9]{5}")
_SHORT_ZIP = re.compile(r"([0-9]{3,5})(\.0)?")
_DATE = re.compile(r"(1[89]|20)[0-9]{2}-[01][0-9]-[0-3][0-9]")


@dataclass(frozen=True)
class Checked:
    """rows: those that fit, as they came. table: the same ones typed, zip codes mended, as CLEAN_COLUMNS."""

    rows: list[dict[str, Any]]
    table: pd.DataFrame
    rejected: list[Rejected]
    n_zips_mended: int

    @property
    def share_rejected(self) -> float:
        n = len(self.rows) + len(self.rejected)
        return len(self.rejected) / n if n else 0.0


def check(items: Sequence[Any]) -> Checked:
    """items: of one batch as the service gave them.

    Raises DataInvalid when they have other columns altogether; a row alone is rejected with its reasons.
    """
    _require_columns(items)
    whole, rejected = _whole(items)
    mended = [{**row, "zip_code": mended_zip(row["zip_code"])} for _, row in whole]
    sound = checks.sort_out(pd.DataFrame(mended, columns=COLUMNS, dtype=object), RULES)
    rejected += [Rejected(whole[bad.position][0], bad.reason, bad.row) for bad in sound.rejected]
    odd = _odd(sound.table)
    for position, reason in odd.items():
        rejected.append(Rejected(whole[position][0], reason, _text(whole[position][1])))
    table = _completed(sound.table.drop(index=list(odd)))
    return Checked(
        rows=[whole[position][1] for position in table.index],
        table=table.reset_index(drop=True),
        rejected=sorted(rejected, key=lambda row: row.position),
        n_zips_mended=sum(
            after["zip_code"] != before["zip_code"] for after, (_, before) in zip(mended, whole, strict=True)
        ),
    )


def mended_zip(value: Any) -> Any:
    """A zip code is text of five digits: as a number it has lost its zeros, and gets them back."""
    found = _SHORT_ZIP.fullmatch(str(value).strip())
    return found[1].zfill(5) if found else value


def clean_rows(table: pd.DataFrame) -> list[Clean]:
    """table: of `check`. The same listing by another broker is the same listing."""
    return [Clean(_listing(row), row) for row in checks.records(table)]


def _require_columns(items: Sequence[Any]) -> None:
    names = {str(name) for row in items if isinstance(row, dict) for name in row}
    if items and (missing := [name for name in COLUMNS if name not in names]):
        there = ", ".join(sorted(names)[:60]) or "none"
        raise DataInvalid(f"The service's rows lack the columns {', '.join(missing)}; they have {there}.")


def _whole(items: Sequence[Any]) -> tuple[list[tuple[int, dict[str, Any]]], list[Rejected]]:
    """Rows that have every column, with their places; and those that were cut, or are no rows."""
    whole, rejected = [], []
    for position, row in enumerate(items):
        if not isinstance(row, dict):
            rejected.append(Rejected(position, "It is no row of named values", str(row)))
        elif missing := [name for name in COLUMNS if name not in row]:
            reason = f"The row is cut: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there"
            rejected.append(Rejected(position, reason, _text(row)))
        else:
            whole.append((position, _told(row)))
    return whole, rejected


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Python's JSON lets NaN and infinities through, however deep, which no database keeps as numbers."""
    told: dict[str, Any] = json.loads(json.dumps(row), parse_constant=lambda word: str(float(word)))
    return told


def _odd(table: pd.DataFrame) -> dict[int, str]:
    """What the rules of single columns cannot say; by place."""
    odd: dict[int, list[str]] = {}
    for place, zip_code, sold in zip(table.index, table["zip_code"], table["prev_sold_date"], strict=True):
        if not _ZIP.fullmatch(str(zip_code)):
            odd.setdefault(place, []).append(f"zip_code is {checks.shown(zip_code)}, which is no five digits")
        if isinstance(sold, str) and not _DATE.match(sold):
            odd.setdefault(place, []).append(f"prev_sold_date is {checks.shown(sold)}, which is no date")
    return {place: "; ".join(reasons) for place, reasons in odd.items()}


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """With what names the house, and the year in which it was last sold."""
    rows = checks.records(table)
    return table.assign(
        house=[_house(row) for row in rows],
        sold_year=pd.to_numeric(table["prev_sold_date"].map(lambda date: str(date)[:4]), errors="coerce"),
    )


def _house(row: dict[str, Any]) -> str:
    """However often a house is listed, it is one house; without a street a listing stands for itself."""
    return f"{row['street']}|{row['city']}|{row['zip_code']}" if row["street"] else f"listing {_listing(row)}"


def _listing(row: dict[str, Any]) -> str:
    told = "\x1f".join(str(row[name]) for name in COLUMNS if name != "brokered_by")
    return sha256(told.encode(errors="replace")).hexdigest()[:40]


def _text(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in row.items())
