"""`{% load registry %}`: the gate's interval and a metric's history as SVG, without style attributes."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from core.lib.templatetags.numbers import significant, whole
from core.lib.templatetags.states import look_of
from core.lib.templatetags.ui import metric
from models_registry import previews
from models_registry.comparison import is_count, ordered
from models_registry.mlflow_types import FileInfo, Point
from models_registry.models import ModelVersion
from models_registry.queries import scores_of

register = template.Library()

WIDTH, HEIGHT = 240, 26
CHART_WIDTH, CHART_HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 10, 24


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """A value by a key that only the row knows."""
    return mapping.get(key)


@register.filter
def logged(value: float | str | None, name: str) -> str:
    """A logged metric: MLflow keeps counts as floats, and 164.0 rows are 164."""
    if isinstance(value, float) and value.is_integer() and (is_count(name) or abs(value) >= 2):
        return whole(int(value)) if abs(value) < 10**15 else metric(value)
    return metric(value)


@register.filter
def in_order(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    """A run's metrics as a list: the hold-out's first, the baseline's last."""
    return [(name, metrics[name]) for name in ordered(metrics)]


@register.filter
def has_rows(file: FileInfo) -> bool:
    """Whether the file may hold rows about people."""
    return previews.has_rows(file.path)


@register.filter
def is_readable(file: FileInfo) -> bool:
    """Whether the file is text that the page can show."""
    return previews.is_text(file)


@register.simple_tag
def scores(newest: Sequence[ModelVersion]) -> list[float]:
    """Hold-out metrics of versions given newest first, oldest first: of those with the newest's metric."""
    return scores_of(newest)


@register.simple_tag
def interval(check: Any) -> SafeString:
    """The bootstrap interval of a gain with its value, zero (thin line) and the threshold (dashed)."""
    low, high = check.interval
    marks = [low, high, check.figure, 0.0, *([check.limit] if check.limit is not None else [])]
    start, end = min(marks), max(marks)
    room = (end - start) * 0.08 or 1.0
    scale = WIDTH / (end - start + 2 * room)

    def x(value: float) -> str:
        return f"{(value - start + room) * scale:.1f}"

    label = _("Gain %(value)s, 95 %% interval %(low)s to %(high)s, threshold %(limit)s") % {
        "value": significant(check.figure),
        "low": significant(low),
        "high": significant(high),
        "limit": significant(check.limit) if check.limit is not None else "–",
    }
    return format_html(
        '<svg class="interval" viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><title>{label}</title>'
        '<rect class="fill-idle" x="0" y="12.5" width="{w}" height="1" opacity="0.5"/>'
        '<rect class="fill-idle" x="{zero}" y="5" width="1" height="16"/>{limit}'
        '<rect class="fill-{kind}" x="{low}" y="11" width="{span}" height="4" rx="2"/>'
        '<circle class="fill-{kind}" cx="{value}" cy="13" r="5.5"/>'
        '<circle class="fill-card" cx="{value}" cy="13" r="2.8"/></svg>',
        w=WIDTH,
        h=HEIGHT,
        label=label,
        zero=x(0.0),
        limit=_dashed(x(check.limit)) if check.limit is not None else "",
        kind=look_of(check.verdict).kind,
        low=x(low),
        span=f"{max((high - low) * scale, 2.0):.1f}",
        value=x(check.figure),
    )


def _dashed(x: str) -> SafeString:
    return format_html('<line class="mark-line" x1="{0}" x2="{0}" y1="2" y2="24"/>', x)


@register.simple_tag
def metric_chart(points: Sequence[Point], key: str) -> SafeString | str:
    """The history of a metric over its steps; where all values are of one step, in their order."""
    if not points:
        return ""
    points = sorted(points, key=lambda point: point.step)
    values = [point.value for point in points]
    low, high = min(values), max(values)
    steps = [point.step for point in points]
    is_by_step = steps[0] < steps[-1]
    positions = steps if is_by_step else list(range(len(points)))
    first, last = positions[0], positions[-1]
    half = high / 2 - low / 2  # the whole may be more than a float holds
    words = _("step %(n)s") if is_by_step else _("value %(n)s")

    def place(position: int, value: float) -> tuple[float, float]:
        across = (position - first) / (last - first) if last > first else 0.5
        up = (value / 2 - low / 2) / half if half > 0 else 0.5
        width, height = CHART_WIDTH - LEFT - RIGHT, CHART_HEIGHT - TOP - BOTTOM
        return LEFT + across * width, TOP + (1 - up) * height

    places = [place(position, value) for position, value in zip(positions, values, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return format_html(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<line class="axis" x1="{left}" x2="{right}" y1="{base}" y2="{base}"/>'
        '<text class="axis-text" x="{text}" y="{top}" text-anchor="end">{high}</text>'
        '<text class="axis-text" x="{text}" y="{base}" text-anchor="end">{low}</text>'
        '<text class="axis-text" x="{left}" y="{foot}">{first}</text>'
        '<text class="axis-text" x="{right}" y="{foot}" text-anchor="end">{last}</text>'
        '<polyline class="chart-line" points="{line}"/>'
        '<circle class="chart-end" cx="{end_x}" cy="{end_y}" r="3.5"/></svg>',
        w=CHART_WIDTH,
        h=CHART_HEIGHT,
        label=_("%(key)s over %(n)s values, from %(low)s to %(high)s")
        % {"key": key, "n": len(points), "low": significant(low), "high": significant(high)},
        left=LEFT,
        right=CHART_WIDTH - RIGHT,
        base=CHART_HEIGHT - BOTTOM,
        text=LEFT - 8,
        top=TOP + 8,
        foot=CHART_HEIGHT - 6,
        high=significant(high),
        low=significant(low),
        first=words % {"n": first if is_by_step else 1},
        last=words % {"n": last if is_by_step else len(points)},
        line=line,
        end_x=f"{places[-1][0]:.1f}",
        end_y=f"{places[-1][1]:.1f}",
    )
