"""What the pages are made of."""

from collections.abc import Iterable, Sequence


def notice(source: str) -> str:
    """First line of a page: nobody is to edit it."""
    return f"<!-- Written by `make reference` from {source}. Edit that, not this. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, with an empty one after it."""
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return [*lines, ""]


def code(text: str) -> str:
    """The text as code, whatever it holds; nothing for nothing."""
    if not text:
        return ""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
