"""Keep of Tabler's stylesheet only the rules this console can use.

    python -m console.assets.trim PATH/TO/tabler.min.css

Rules are kept by the class names in their selectors, then custom properties nobody reads are dropped.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

TRIMMED = Path(__file__).parent / "tabler.trimmed.css"

SIZES = r"(sm|md|lg|xl)"
KEPT_CLASSES = re.compile(
    "|".join(
        [
            rf"row|col(-{SIZES})?(-(\d+|auto))?|g[xy]?-\d|row-cols-\d|row-deck|row-cards",
            r"h[1-6]|small|lead|list-unstyled|list-inline(-item)?",
            r"btn(-(primary|danger|outline-primary|outline-danger|link|sm|icon|list|close|group))?",
            r"card(-(header|title|subtitle|body|footer|actions|link|table|sm|lg))?",
            r"table(-(sm|vcenter|nowrap|hover|active|responsive))?",
            r"form-(control|control-sm|select|select-sm|label|text|hint|check|check-input|check-label|check-inline|"
            r"switch|floating|fieldset|help|range|control-plaintext|selectgroup.*)|required",
            r"input-(group|group-text|group-flat|icon|icon-addon)",
            r"is-(invalid|valid)|(invalid|valid)-feedback|was-validated|disabled|active|show",
            r"pagination|page-(item|link)|badge|alert(-(success|danger|warning|info|link|title|heading))?",
            r"list-group(-(item|item-action|flush|hoverable))?|progress(-(bar|sm))?",
            r"dropdown-(item|divider|header)|avatar(-(sm|xs))?|kbd|visually-hidden(-focusable)?",
            r"text-(muted|secondary|danger|success|warning|primary|center|end|start|nowrap|wrap|break|truncate|"
            r"decoration-none|reset|uppercase|capitalize|body)|font-monospace|fw-\w+|fs-\d|lh-1",
            rf"d-(({SIZES})-)?(none|block|flex|grid|inline|inline-block|inline-flex|table-cell)",
            rf"flex-(({SIZES})-)?(row|column|wrap|nowrap|fill|grow-[01]|shrink-[01])",
            r"(align-(items|self)|justify-content)-(start|end|center|between|baseline|stretch)",
            r"align-(top|middle|bottom|baseline)",
            r"[mp][xytbse]?-(0|1|2|3|4|auto)|gap-[0-4]|w-(25|50|75|100|auto)|h-(100|auto)",
            r"border(-(0|top|bottom|start|end))?|rounded(-\d|-circle)?|overflow-(auto|hidden)|"
            r"position-(relative|absolute|sticky)|opacity-\d+|cursor-\w+",
        ]
    )
)
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
DROPPED = re.compile(
    r"\[data-(theme|bs-navbar|pc|theme-)|::-webkit-scrollbar|antialiased|^\.btn-close|apexcharts"
)


@dataclass
class Rule:
    """`head` is a selector list or an at-rule; `body` its declarations, `rules` what an at-rule holds."""

    head: str
    body: str = ""
    rules: list["Rule"] = field(default_factory=list)

    def css(self) -> str:
        inner = "".join(rule.css() for rule in self.rules) if self.rules else self.body
        return f"{self.head}{{{inner}}}"


def parse(css: str) -> Iterator[Rule]:
    """The top-level rules; strings in this stylesheet hold no braces, which is checked by the balance."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    start = depth = brace = 0
    for at, char in enumerate(css):
        if char == ";" and depth == 0:
            start = at + 1
        elif char == "{":
            brace = at if depth == 0 else brace
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                yield _rule(css[start:brace].strip(), css[brace + 1 : at])
                start = at + 1
    if depth:
        raise ValueError("unbalanced braces in the stylesheet")


def _rule(head: str, body: str) -> Rule:
    if head.startswith(("@media", "@supports", "@layer")):
        return Rule(head, rules=list(parse(body)))
    return Rule(head, body)


def is_kept(selector: str) -> bool:
    if DROPPED.search(selector):
        return False
    return all(KEPT_CLASSES.fullmatch(name) for name in CLASS.findall(selector))


def split_selectors(head: str) -> list[str]:
    """Selectors of a list, split at commas outside brackets."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", head)]


def trim(rules: Iterator[Rule]) -> list[Rule]:
    kept = []
    for rule in rules:
        if rule.rules:
            rule.rules = trim(iter(rule.rules))
            if rule.rules and "print" not in rule.head:
                kept.append(rule)
        elif rule.head.startswith("@"):
            continue
        elif selectors := [part for part in split_selectors(rule.head) if is_kept(part)]:
            kept.append(Rule(",".join(selectors), rule.body))
    return kept


def drop_unread_properties(css: str, *, readers: str) -> str:
    """Drop custom properties that neither this stylesheet nor `readers` reads, until nothing changes."""
    while True:
        read = set(re.findall(r"var\(\s*(--[\w-]+)", css + readers))
        unread = set(re.findall(r"(--[\w-]+):", css)) - read
        slim = re.sub(r"(--[\w-]+):[^;{}]*(?:;|(?=\}))", partial(_unless_in, unread), css)
        slim = re.sub(r"[^{}]+\{\}", "", slim)
        if slim == css:
            return css
        css = slim


def _unless_in(unread: set[str], found: re.Match[str]) -> str:
    return "" if found[1] in unread else found[0]


def main(source: str) -> None:
    parts = Path(__file__).parent.glob("[0-9]*.css")
    kept = "".join(rule.css() for rule in trim(parse(Path(source).read_text(encoding="utf-8"))))
    kept = drop_unread_properties(kept, readers="".join(part.read_text(encoding="utf-8") for part in parts))
    kept = re.sub(r"\}(?=[^}])", "}\n", kept)
    licence = (
        "/*! Tabler v1.6.1, trimmed. Copyright the Tabler Authors and codecalm.net Paweł Kuna. MIT. */\n"
    )
    TRIMMED.write_text(licence + kept + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
