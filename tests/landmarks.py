"""The landmarks of a page as a screen reader lists them, by role and name."""

from collections import Counter
from html.parser import HTMLParser

ROLES = {"main": "main", "nav": "navigation", "aside": "complementary", "section": "region", "form": "form"}
LANDMARKS = {*ROLES.values(), "search", "banner", "contentinfo"}
NAMED_ONLY = {"region", "form"}  # without a name they are no landmarks
VOID = {"input", "br", "hr", "img", "meta", "link", "use", "circle", "rect", "line", "path", "wbr"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []  # tag, id
        self._in_dialogs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append((tag, values.get("id", "")))
            self._in_dialogs += tag == "dialog"
        role = values.get("role") or ROLES.get(tag, "")
        if role in LANDMARKS and not self._in_dialogs:
            self.found.append((role, values))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            opened, _id = self._open.pop()
            self._in_dialogs -= opened == "dialog"
            if opened == tag:
                return

    def handle_data(self, data: str) -> None:
        for _tag, id_ in self._open:
            if id_:
                self.texts[id_] = self.texts.get(id_, "") + data


def repeated(page: str) -> list[tuple[str, str]]:
    """Role and name of landmarks that a page has more than once."""
    reader = _Reader()
    reader.feed(page)
    names = []
    for role, values in reader.found:
        by = " ".join(reader.texts.get(id_, "") for id_ in values.get("aria-labelledby", "").split())
        name = " ".join((by or values.get("aria-label", "")).split()).lower()
        if name or role not in NAMED_ONLY:
            names.append((role, name))
    return [pair for pair, n in Counter(names).items() if n > 1]
