"""The numbers in drawings, as a browser reads them: a decimal comma there draws nothing, or nonsense."""

import re
from html.parser import HTMLParser

NUMBERS = frozenset(
    [
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "rx",
        "ry",
        "dx",
        "dy",
        "width",
        "height",
        "viewbox",
        "opacity",
        "d",
        "points",
        "transform",
    ]
)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
ONE = re.compile(NUMBER)
PAIRS = re.compile(rf"\s*{NUMBER},{NUMBER}(?:\s+{NUMBER},{NUMBER})*\s*")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.n_read, self.wrong = 0, []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == "svg"
        if not self._depth:
            return
        for name, value in attrs:
            if name in NUMBERS:
                self.n_read += 1
                if not _is_right(name, value or ""):
                    self.wrong.append(f'<{tag} {name}="{value}">')

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "svg"


def _is_right(name: str, value: str) -> bool:
    if name == "points":
        return PAIRS.fullmatch(value) is not None
    if name in {"viewbox", "d", "transform"}:
        return "," not in value if name != "d" else re.search(r"\d,\d+,\d", value) is None
    return ONE.fullmatch(value) is not None


def wrong_numbers(markup: str) -> list[str]:
    """Attributes of drawings that hold no plain numbers. Fails where nothing was drawn."""
    reader = _Reader()
    reader.feed(markup)
    assert reader.n_read > 0, "nothing is drawn here"
    return reader.wrong
