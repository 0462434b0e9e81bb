"""Text and JSON of others as PostgreSQL takes them: without NUL, without halves of surrogate pairs."""

import math
from typing import Any


def text(words: str) -> str:
    """The text with a sign in the place of each such character."""
    return words.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def everything(value: Any) -> Any:
    """The same for each text in lists and objects, names too; NaN and infinity, which JSON lacks, as text."""
    match value:
        case str():
            return text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {everything(key): everything(inner) for key, inner in value.items()}
        case list() | tuple():
            return [everything(inner) for inner in value]
    return value


def has_half_characters(words: str) -> bool:
    """Whether it has a lone surrogate: neither an answer nor a row could hold it."""
    return not words.isascii() and any("\ud800" <= character <= "\udfff" for character in words)
