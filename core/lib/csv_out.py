"""CSV as it is sent to people, who open it in spreadsheets."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

# A spreadsheet runs a cell that starts with one of these as a formula; the last four are signs in full width.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Each row as one line in UTF-8, each of its cells `guarded`; half a surrogate pair becomes "?"."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(map(guarded, row) for row in rows)
    return buffer.getvalue().encode(errors="replace")


def guarded(cell: Any) -> Any:
    """The cell, with an apostrophe before what a spreadsheet would run; numbers stay as they are."""
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
