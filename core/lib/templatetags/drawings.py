"""Small SVG drawings without style attributes: colours come from classes in the stylesheet."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.lib.templatetags.numbers import span
from core.lib.templatetags.states import look_of

SPARK_WIDTH, SPARK_HEIGHT = 88, 24
BAR_WIDTH, BAR_GAP, BAR_HEIGHT = 5, 2, 24


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def sparkline(values: Sequence[float | None], label: str) -> SafeString | str:
    known = [float(value) for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = SPARK_WIDTH / max(1, len(known) - 1)
    inner = SPARK_HEIGHT - 4

    def height(value: float) -> float:
        return 2 + inner * (0.5 if high == low else (high - value) / (high - low))

    points = [(at * step, height(value)) for at, value in enumerate(known)]
    if len(points) == 1:
        points.append((SPARK_WIDTH, points[0][1]))
    line = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    area = f"0,{SPARK_HEIGHT} {line} {SPARK_WIDTH},{SPARK_HEIGHT}"
    return format_html(
        '<svg class="spark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<polygon class="spark-area" points="{3}"/><polyline class="spark-line" points="{4}"/></svg>',
        SPARK_WIDTH,
        SPARK_HEIGHT,
        label or _("Trend of the last %(n)s values") % {"n": len(known)},
        area,
        line,
    )


def _of(run: Any, name: str) -> Any:
    return run.get(name) if isinstance(run, dict) else getattr(run, name, None)


class _Run(NamedTuple):
    state: str
    duration_s: float | None
    label: str
    url: str


def run_bars(runs: Sequence[Any], label: str) -> SafeString | str:
    """Heights are durations against the longest, between a fifth and the whole."""
    if not runs:
        return ""
    drawn = tuple(_Run(*(_of(run, name) for name in _Run._fields)) for run in runs)
    return _run_bars(drawn, str(label), get_language())


@lru_cache(maxsize=1000)  # a list has many, and is drawn again whenever one of them changes
def _run_bars(runs: tuple[_Run, ...], label: str, _language: str | None) -> SafeString:
    longest = max(run.duration_s or 0.0 for run in runs)
    looks = {state: (look_of(state).kind, str(look_of(state).word)) for state in {run.state for run in runs}}
    bars = mark_safe("".join(_run_bar(at, run, longest, looks) for at, run in enumerate(runs)))  # noqa: S308
    return format_html(
        '<svg class="run-bars" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="{4}" aria-label="{2}">'
        "{3}</svg>",
        len(runs) * (BAR_WIDTH + BAR_GAP) - BAR_GAP,
        BAR_HEIGHT,
        label or _("The last %(n)s runs, oldest first") % {"n": len(runs)},
        bars,
        "group" if any(run.url for run in runs) else "img",
    )


def _run_bar(position: int, run: _Run, longest: float, looks: dict[Any, tuple[str, str]]) -> str:
    """HTML. A list draws hundreds of them: hence nothing of Django's, and each text is escaped once."""
    kind, word = looks[run.state]
    filled = run.duration_s / longest if run.duration_s and longest else 0.0
    height = BAR_HEIGHT * (0.2 + 0.8 * filled)
    parts = (run.label, word, span(run.duration_s) if run.duration_s else None)
    title = escape(" · ".join(str(part) for part in parts if part))
    rect = (
        f'<rect class="fill-{kind}" x="{position * (BAR_WIDTH + BAR_GAP)}" y="{_number(BAR_HEIGHT - height)}"'
        f' width="{BAR_WIDTH}" height="{_number(height)}" rx="1"><title>{title}</title></rect>'
    )
    return f'<a href="{escape(str(run.url))}" aria-label="{title}">{rect}</a>' if run.url else rect


def bar(share: float, kind: str) -> SafeString:
    """A track 100 wide, stretched to the room there is."""
    filled = _number(100 * min(1.0, max(0.0, share)))
    return format_html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-track" width="100" height="10"/>'
        '<rect class="fill-{}" width="{}" height="10"/></svg>',
        kind,
        filled,
    )


def push_bar(value: float, limit: float) -> SafeString:
    length = 50 * min(1.0, abs(value) / limit) if limit else 0.0
    return format_html(
        '<svg class="push-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="push-axis" x="49.8" width="0.4" height="10"/>'
        '<rect class="{}" x="{}" width="{}" height="10"/></svg>',
        "push-down" if value < 0 else "push-up",
        _number(50 - length if value < 0 else 50),
        _number(length),
    )
