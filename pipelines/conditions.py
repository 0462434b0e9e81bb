"""Which changes of assets start a pipeline, as a reader would say it, and which it waits for. No database."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

KINDS = ("asset", "alias", "asset_ref")


def in_words(expression: Any) -> str:
    """Of Airflow's `asset_expression`: names joined by "and" and "or"; empty for what cannot be read.

    The outermost needs no brackets.
    """
    return _said(expression, is_inner=False)


def _said(expression: Any, *, is_inner: bool) -> str:
    if not isinstance(expression, dict):
        return ""
    for key, word in (("all", _("and")), ("any", _("or"))):
        if isinstance(expression.get(key), list):
            parts = [words for one in expression[key] if (words := _said(one, is_inner=True))]
            joined = f" {word} ".join(parts)
            return f"({joined})" if is_inner and len(parts) > 1 else joined
    for kind in KINDS:
        if isinstance(expression.get(kind), dict):
            named = expression[kind]
            return str(named.get("name") or named.get("uri") or "")
    return ""


@dataclass(frozen=True)
class Awaited:
    """An asset, or an alias of some, that a pipeline waits for. changed_at: None before it changed."""

    name: str
    changed_at: datetime | None


def awaited(expression: Any, queued: Iterable[Mapping[str, Any]]) -> list[Awaited]:
    """What a pipeline waits for, in its own order, with what has changed since it last began.

    queued: {"name", "uri", "aliases", "at"} of those; what fits nothing in the expression comes last.
    """
    changes, used = list(queued), set()
    found = []
    for leaf in leaves(expression):
        fits = [number for number, change in enumerate(changes) if leaf.fits(change)]
        used |= set(fits)
        found.append(Awaited(leaf.words, min((_time(changes[number]) for number in fits), default=None)))
    others = [change for number, change in enumerate(changes) if number not in used]
    return found + [Awaited(change["name"] or change["uri"], _time(change)) for change in others]


def _time(change: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(change["at"])


@dataclass(frozen=True)
class Leaf:
    """What an expression names: an `asset`, an `asset_ref` or an `alias`."""

    kind: str
    name: str
    uri: str

    @property
    def words(self) -> str:
        return self.name or self.uri

    def fits(self, asset: Mapping[str, Any]) -> bool:
        """Whether an asset, with its name, address and aliases, is what this names."""
        if self.kind == "alias":
            return self.name in asset["aliases"]
        return bool(self.name and self.name == asset["name"]) or bool(self.uri and self.uri == asset["uri"])


def leaves(expression: Any) -> list[Leaf]:
    """Everything that an expression names, each once."""
    return list(dict.fromkeys(_leaves(expression)))


def _leaves(expression: Any) -> Iterator[Leaf]:
    if not isinstance(expression, dict):
        return
    for key in ("all", "any"):
        for one in expression[key] if isinstance(expression.get(key), list) else ():
            yield from _leaves(one)
    for kind in KINDS:
        if isinstance(named := expression.get(kind), dict):
            yield Leaf(kind, str(named.get("name") or ""), str(named.get("uri") or ""))
