"""What the page of load tests draws: the p95 of each step against the stated one, as bars of an SVG."""

from typing import Any

from usecases.models import LoadTest

HEIGHT, BAR, GAP = 96.0, 56, 16
ROOM = 1.15  # above the highest bar, or the line


def load_chart(test: LoadTest) -> dict[str, Any] | None:
    """Bars, and how high the line of the stated p95 lies, as texts for SVG; None before there are any."""
    if not test.steps:
        return None
    known = [step["p95"] for step in test.steps if step["p95"] is not None]
    scale = HEIGHT / (max([*known, test.stated_p95_ms]) * ROOM)
    bars = []
    for place, step in enumerate(test.steps):
        height = max(1.0, (step["p95"] or 0.0) * scale)
        is_within = step["users"] <= (test.max_users_within_p95 or 0)
        bars.append(
            {
                "x": str(GAP + place * (BAR + GAP)),
                "y": f"{HEIGHT - height:.1f}",
                "height": f"{height:.1f}",
                "css": "fill-ok" if is_within else "fill-bad",
                "step": step,
            }
        )
    return {
        "bars": bars,
        "bar": str(BAR),
        "line": f"{HEIGHT - test.stated_p95_ms * scale:.1f}",
        "width": str(GAP + len(bars) * (BAR + GAP)),
        "height": f"{HEIGHT:.0f}",
        "rates": [point["rps"] for point in test.series],
    }
