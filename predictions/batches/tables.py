"""Files of rows as strangers send them, CSV or Parquet, read against a model's spec.

A file that cannot be read as a whole is refused with every reason; a row that cannot be is its own fault.

CSV is UTF-8 or UTF-16. Its separator is the one of comma, semicolon, tab and bar that finds most of the
model's fields in the header. Empty lines are left out. Where the comma does not separate it is the decimal
mark of numbers; there are no thousands separators. An empty cell, NA, NaN, null or None is missing, but for
texts.
"""

import csv
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import compress, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.lib import csv_out, storable
from predictions.batches import files
from scoring import parquet, values
from scoring.language import Field
from scoring.spec import Spec
from scoring.words import grouped

Format = Literal["csv", "parquet"]

SEPARATORS = ",;\t|"
MISSING = frozenset({"na", "n/a", "nan", "null", "none"})
MOST_COLUMNS = 1_000
# Of one row of CSV: as short cells they take some 50 MiB, a whole file in one line would take a GiB.
MOST_CHARACTERS = 2 * 1024 * 1024
# Times the largest upload: a kilobyte of Parquet can hold one long text for each of 200,000 rows.
MOST_UNFOLDED = 4
MOST_FAULTS = 50
# Characters of a column's name times those of a field's: looking for misspelt ones takes a second at most.
MOST_COMPARED = 10_000_000
PARQUET_MARK = b"PAR1"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")
_PLAIN_KINDS = frozenset({"integer", "number", "boolean", "text", "missing"})


class FileRefused(ValueError):
    """The file as a whole cannot be read. faults: column, or None, and a sentence each."""

    def __init__(self, faults: Sequence[tuple[str | None, str]]) -> None:
        super().__init__(" ".join(message for _column, message in faults))
        self.faults = list(faults)


class Given(NamedTuple):
    """One row. cells: of every column that is kept, as text. inputs: what the model is asked.

    fault: why the row cannot be read; then there are no inputs.
    """

    cells: list[str]
    inputs: dict[str, object]
    fault: str = ""


class Table(ABC):
    """A file whose columns fit the spec. columns: that are kept, by name. unused: that are no fields."""

    def __init__(self, path: Path, spec: Spec, columns: list[str]) -> None:
        self._path = path
        self.columns = columns
        self._fields = {field.name: field for field in spec.fields}
        self.unused = [name for name in columns if name not in self._fields]

    @abstractmethod
    def rows(self, first: int = 0) -> Iterator[Given]:
        """From row `first` on, counted from 0. Raises FileRefused where it cannot be read any further."""

    @abstractmethod
    def count(self, most: int) -> int:
        """Rows, as far as `most` + 1. Raises FileRefused for what cannot be read."""


def format_of(path: Path) -> Format:
    """By what the file begins with: a name says little."""
    with path.open("rb") as file:
        return "parquet" if file.read(len(PARQUET_MARK)) == PARQUET_MARK else "csv"


def opened(path: Path, format_: Format, spec: Spec) -> Table:
    """The file with its columns looked at. Raises FileRefused, OSError."""
    return ParquetTable(path, spec) if format_ == "parquet" else CsvTable(path, spec)


def template(spec: Spec) -> list[list[Any]]:
    """Header and example row of a file that fits."""
    row = [spec.example.get(field.name) for field in spec.fields]
    return [[field.name for field in spec.fields], ["" if value is None else value for value in row]]


# --- CSV


class CsvTable(Table):
    """Each line of text a row; what a quote holds may span several."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self._encoding = _encoding(path)
        self._separator, header = _header(path, self._encoding, spec)
        names = _called(header, spec)
        _check_columns(names, spec)
        super().__init__(path, spec, names)
        self._unguarded = {field.name: _unguarded(field, spec) for field in spec.fields if field.is_text}

    def rows(self, first: int = 0) -> Iterator[Given]:
        records = _records(self._path, self._encoding, self._separator)
        return map(self._given, islice(records, first + 1, None))

    def count(self, most: int) -> int:
        return max(
            0,
            sum(1 for _record in islice(_records(self._path, self._encoding, self._separator), most + 2)) - 1,
        )

    def _given(self, cells: list[str]) -> Given:
        n = len(self.columns)
        while len(cells) > n and not cells[-1].strip():
            cells.pop()
        kept = [*cells[:n], *[""] * (n - len(cells))]
        if len(cells) != n:
            words = ngettext(
                "the row has %(n)s value for %(wanted)s columns",
                "the row has %(n)s values for %(wanted)s columns",
                len(cells),
            )
            return Given(kept, {}, words % {"n": grouped(len(cells)), "wanted": grouped(n)})
        inputs: dict[str, object] = {}
        for name, cell in zip(self.columns, cells, strict=True):
            field = self._fields.get(name)
            if field is not None:
                _put(inputs, field, self._value(field, cell))
        return Given(kept, inputs)

    def _value(self, field: Field, cell: str) -> object:
        if field.is_text:
            return self._unguarded[field.name].get(cell, cell)
        text = cell.strip()
        if text.lower() in MISSING:
            return ""
        if self._separator != "," and field.is_numeric and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        return values.from_text(field, text)


def _put(inputs: dict[str, object], field: Field, value: object) -> None:
    """An empty value of a field that may be left out, but not be null, counts as left out."""
    if value in (None, "") and not field.required and not field.nullable:
        return
    inputs[field.name] = value


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _header(path: Path, encoding: str, spec: Spec) -> tuple[str, list[str]]:
    """The separator and the first line. Raises FileRefused."""
    wanted = {field.name for field in spec.fields}
    candidates = SEPARATORS
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        if found := _SEPARATOR_LINE.fullmatch(text.readline(20)):
            candidates = found[1]
    best: tuple[int, str, list[str]] = (-1, "", [])
    for separator in candidates:
        try:
            header = next(_records(path, encoding, separator), [])
        except FileRefused:
            if separator == candidates[-1] and best[0] < 0:
                raise
            continue
        n_known = len(wanted.intersection(_called(header, spec)))
        if n_known > best[0]:
            best = (n_known, separator, header)
    if not best[2]:
        raise FileRefused([(None, _("The file is empty: send a header and a row for each question."))])
    return best[1], best[2]


class _Lines:
    """Lines for csv.reader, which holds a whole record before anybody sees it. n: that were read.

    n_characters: since the last record, which its reader sets back. Raises csv.Error when they are too many.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.n = self.n_characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MOST_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.n += 1
        self.n_characters += len(line)
        if self.n_characters > MOST_CHARACTERS:
            raise csv.Error(_("a row holds more than %(n)s characters") % {"n": grouped(MOST_CHARACTERS)})
        return line


def _records(path: Path, encoding: str, separator: str) -> Iterator[list[str]]:
    """Header and rows without empty lines. Raises FileRefused."""
    with path.open(encoding=encoding, newline="") as text:
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
        try:
            for number, record in enumerate(reader):
                is_separator_line = number == 0 and _SEPARATOR_LINE.fullmatch(separator.join(record))
                if record and not is_separator_line:
                    lines.n_characters = 0
                    yield record
        except UnicodeError as error:
            message = _("The file is not UTF-8 (or UTF-16 with its mark): save it as “CSV UTF-8”.")
            raise FileRefused([(None, message)]) from error
        except csv.Error as error:
            message = _("Line %(n)s cannot be read as CSV: %(error)s.") % {
                "n": grouped(lines.n),
                "error": error,
            }
            raise FileRefused([(None, message)]) from error


def _unguarded(field: Field, spec: Spec) -> dict[str, str]:
    """Texts that the field knows, by what the console's own CSV makes of them."""
    known = {choice.value for choice in field.choices.values} if field.choices else set()
    texts = [text for text in [*known, spec.example.get(field.name)] if isinstance(text, str)]
    return {guarded: text for text in texts if (guarded := csv_out.guarded(text)) not in {text, *known}}


# --- Parquet


class ParquetTable(Table):
    """Columns of plain values; others are left out where the model does not ask for them."""

    def __init__(self, path: Path, spec: Spec) -> None:
        [table] = _refusing(lambda: parquet.look([path]))
        names = _called([column.name for column in table.columns], spec)
        _check_columns(names, spec)
        wanted = {field.name for field in spec.fields}
        odd = [
            (
                name,
                _("%(name)s holds %(type)s, which is no plain value.") % {"name": name, "type": column.type},
            )
            for name, column in zip(names, table.columns, strict=True)
            if name in wanted and column.kind not in _PLAIN_KINDS
        ]
        if odd:
            raise FileRefused(odd[:MOST_FAULTS])
        is_kept = [column.kind in _PLAIN_KINDS for column in table.columns]
        self._stored = [column.name for column in compress(table.columns, is_kept)]
        self._n_rows = table.n_rows
        super().__init__(path, spec, list(compress(names, is_kept)))

    def rows(self, first: int = 0) -> Iterator[Given]:
        try:
            for batch in parquet.rows(self._path, self._stored, first):
                yield from map(self._given, batch)
        except parquet.Refused as error:
            raise _unreadable(error) from error

    def count(self, most: int) -> int:
        """Of what is there, whatever the file says of itself: cells go into parts and the result."""
        if self._n_rows > most:
            return self._n_rows
        n_rows = n_characters = 0
        most_characters = MOST_UNFOLDED * files.most_bytes()
        for row in self.rows():
            n_rows += 1
            n_characters += sum(map(len, row.cells))
            if n_characters > most_characters:
                raise FileRefused([(None, _unfolds(most_characters))])
        return n_rows

    def _given(self, row: Sequence[Any]) -> Given:
        inputs: dict[str, object] = {}
        for name, value in zip(self.columns, row, strict=True):
            field = self._fields.get(name)
            if field is not None:
                _put(inputs, field, values.from_table(field, value))
        return Given([_as_text(value) for value in row], inputs)


def _unfolds(most_characters: int) -> str:
    words = _(
        "The cells of the file hold more than %(n)s characters: leave out long columns, or send it in parts."
    )
    return words % {"n": grouped(most_characters)}


def _refusing(look: Callable[[], list[parquet.Table]]) -> list[parquet.Table]:
    try:
        return look()
    except parquet.Refused as error:
        raise _unreadable(error) from error


def _unreadable(error: parquet.Refused) -> FileRefused:
    return FileRefused([(None, _("The file cannot be read: %(error)s.") % {"error": error})])


def _as_text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


# --- columns


def _called(names: Sequence[str], spec: Spec) -> list[str]:
    """What the columns of a file are called here: as the field is, with and without spaces around its name.

    The apostrophe counts for nothing that the console's own CSV puts before a name which a spreadsheet would
    run. A column without a name, such as the index that pandas writes, is called by its place.
    """
    fields = [field.name for field in spec.fields]
    forms = [(form, name) for name in fields for form in {name.strip(), csv_out.guarded(name).strip()}]
    n_alike = Counter(form for form, _name in forms)
    known = {form: name for form, name in forms if n_alike[form] == 1} | {name: name for name in fields}
    return [
        known.get(name) or known.get(bare) or storable.text(bare) or f"column {n}"
        for n, name in enumerate(names, start=1)
        for bare in [name.strip()]
    ]


def _check_columns(names: list[str], spec: Spec) -> None:
    """Raises FileRefused with every column that is there twice, misspelt or missing."""
    faults: list[tuple[str | None, str]] = []
    if len(names) > MOST_COLUMNS:
        message = _("The file has %(n)s columns, %(most)s are taken at most.")
        raise FileRefused([(None, message % {"n": grouped(len(names)), "most": grouped(MOST_COLUMNS)})])
    twice = [name for name, n in Counter(names).items() if n > 1]
    faults += [
        (name, _("%(name)s is there twice: keep one of the columns.") % {"name": name}) for name in twice
    ]
    absent = {field.name.lower(): field for field in spec.fields if field.name not in names}
    known = {field.name for field in spec.fields}
    n_compared = 0
    for name in dict.fromkeys(name for name in names if name not in known):
        n_compared += len(name) * sum(map(len, absent))
        if n_compared > MOST_COMPARED:
            break
        close = get_close_matches(name.lower(), absent, n=1, cutoff=0.8)
        if close:
            field = absent.pop(close[0])
            message = _("%(name)s is not a field of this model: did you mean %(field)s?")
            faults.append((name, message % {"name": name, "field": field.name}))
    faults += [
        (field.name, _("The column %(name)s is missing: the model needs it.") % {"name": field.name})
        for field in absent.values()
        if field.required
    ]
    if faults:
        raise FileRefused(faults[:MOST_FAULTS])
