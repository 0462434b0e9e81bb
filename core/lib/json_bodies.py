"""JSON that comes in: no deeper than anybody needs, and without what no text can hold.

What walks through a deep one later must not run out of stack.
"""

import json
from collections.abc import Mapping
from typing import IO, Any, Final

from django.utils.translation import gettext as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError

MOST_DEEP: Final = 64


class JSONParser(parsers.JSONParser):
    """DRF's own, for which deep nesting and half characters are faults of the console, not the caller."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(too_deep()) from error
        if is_too_deep(value):
            raise ParseError(too_deep())
        if has_half_characters(value):
            raise ParseError(_("A text in the JSON holds one half of a character (\\ud800 to \\udfff)."))
        return value


def is_too_deep(value: object) -> bool:
    """Whether lists and objects are nested in more than `MOST_DEEP` levels."""
    level = [value]
    for _level in range(MOST_DEEP + 1):
        level = [child for one in level for child in _children(one)]
        if not level:
            return False
    return True


def has_half_characters(value: object) -> bool:
    """Whether a text or name in it has a lone surrogate: neither an answer nor a row could hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def too_deep() -> str:
    """What to tell whoever sent it."""
    return _("The JSON is nested more than %(n)d levels deep.") % {"n": MOST_DEEP}
