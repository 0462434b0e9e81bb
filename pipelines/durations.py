"""How long the runs of a pipeline took, as bars with an axis of round times. No Django."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 900, 220, 64, 10, 8
WIDEST_BAR: Final = 40
N_TICKS: Final = 4
# Seconds between the lines of the axis: what clocks count in.
_STEPS: Final = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400),
)


@dataclass(frozen=True)
class Bar:
    """A run; y and height of its bar, in pixels."""

    run: Any
    x: float
    y: float
    height: float
    seconds: float


@dataclass(frozen=True)
class Chart:
    """Bars from left to right, lines of the axis as (y, seconds), and the median of those that succeeded."""

    bars: list[Bar]
    ticks: list[tuple[float, float]]
    median_y: float | None
    median_s: float | None
    bar_width: float
    left: int = LEFT
    width: int = WIDTH
    height: int = HEIGHT


def draw(runs: Sequence[Any]) -> Chart:
    """runs: oldest first, each with `duration` and `state`; those that have not begun are left out."""
    timed = [(run, run.duration.total_seconds()) for run in runs if run.duration is not None]
    longest = max((seconds for _run, seconds in timed), default=0.0) or 1.0
    step = _step(longest)
    top = step * max(1, -(-longest // step))
    room = HEIGHT - TOP - BOTTOM
    pitch = min((WIDTH - LEFT) / max(len(timed), 1), WIDEST_BAR)

    def y_of(seconds: float) -> float:
        return round(TOP + room * (1 - seconds / top), 1)

    bars = [
        Bar(
            run,
            round(LEFT + place * pitch, 1),
            y_of(seconds),
            round(HEIGHT - BOTTOM - y_of(seconds), 1),
            seconds,
        )
        for place, (run, seconds) in enumerate(timed)
    ]
    good = [seconds for run, seconds in timed if run.state == "success"]
    middle = median(good) if good else None
    ticks = [(y_of(step * place), step * place) for place in range(round(top / step) + 1)]
    return Chart(bars, ticks, None if middle is None else y_of(middle), middle, round(pitch * 0.8, 1))


def _step(longest: float) -> float:
    """So that there are few lines, on round times."""
    fitting = (step for step in _STEPS if longest / step <= N_TICKS)
    days = 86400.0
    return next(fitting, days * max(1, -(-longest // (N_TICKS * days))))
