"""What templates draw: two distributions side by side, and how strong each window's shift was."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from core.lib.templatetags import numbers
from predictions.drift import words
from predictions.models import DriftWindow

SMALL_WIDTH, SMALL_HEIGHT = 132, 34
WIDTH, HEIGHT, FOOT, LEFT = 460, 168, 34, 46
GAP = 0.28  # of a bin's width, left empty between bins
STRIP_BAR, STRIP_GAP, STRIP_HEIGHT = 7, 2, 28
FULL_STRENGTH = 2.0  # fills a bar of the strip; 1 is the limit
LONGEST_TICK = 9


def column(
    judged: dict[str, Any], history: Sequence[tuple[DriftWindow, dict[str, Any]]] = ()
) -> dict[str, Any]:
    """What a row shows of a judged column. history: oldest first."""
    distribution = next((one for one in judged["checks"] if one["what"] == "distribution"), None)
    return {
        **judged,
        "title": words.title_of(judged),
        "findings": words.findings(judged),
        "distribution": _check(distribution) if distribution else None,
        "small": small_pair(judged["bins"]),
        "strip": strip(history),
    }


def shares(judged: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of shares, which a card shows beside the row's facts."""
    return [_check(one) for one in judged["checks"] if one["what"] != "distribution"]


def _check(check: dict[str, Any]) -> dict[str, Any]:
    return {
        **check,
        "effect": words.effect(check),
        "measure_words": words.measure(check),
        "test_words": words.test_name(check),
        "p_words": words.p_value(check["p_adjusted"]),
    }


# --- distributions


def rows(bins: dict[str, Any]) -> list[dict[str, Any]]:
    """The same numbers for a table."""
    named = [label or _("all others") for label in bins["labels"]]
    return [
        {"label": label, "reference": before, "window": now, "change": now - before}
        for label, before, now in zip(named, bins["reference"], bins["window"], strict=True)
    ]


def small_pair(bins: dict[str, Any]) -> dict[str, Any]:
    """Bars without axes."""
    return {
        "width": SMALL_WIDTH,
        "height": SMALL_HEIGHT,
        "bars": _bars(rows(bins), left=0, width=SMALL_WIDTH, height=SMALL_HEIGHT),
    }


def pair(bins: dict[str, Any]) -> dict[str, Any]:
    """Bars with a scale of shares, and a tick below each bin or every other."""
    found = rows(bins)
    width, height = WIDTH - LEFT, HEIGHT - FOOT
    most = _most(found)
    step = width / max(1, len(found))
    every = max(1, -(-len(found) // 7))
    ticks = [
        {"x": round(LEFT + (place + 0.5) * step, 1), "text": _tick(one["label"])}
        for place, one in enumerate(found)
        if place % every == 0
    ]
    scale = [
        {"y": round(height * (1 - part), 1), "text": f"{most * part * 100:.0f} %"} for part in (0, 0.5, 1)
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "foot": height,
        "bars": _bars(found, left=LEFT, width=width, height=height),
        "ticks": ticks,
        "scale": scale,
    }


def _most(found: Sequence[dict[str, Any]]) -> float:
    """The share that reaches the top: the greatest, rounded up to a tenth."""
    greatest = max((max(one["reference"], one["window"]) for one in found), default=0.0)
    return max(0.1, -(-greatest * 10 // 1) / 10)


def _bars(
    found: Sequence[dict[str, Any]], *, left: float, width: float, height: float
) -> list[dict[str, Any]]:
    most = _most(found)
    step = width / max(1, len(found))
    half = step * (1 - GAP) / 2
    words = _("%(label)s: reference %(before)s, window %(now)s")
    bars = []
    for place, one in enumerate(found):
        title = _bar_title(words, one)
        start = left + place * step + step * GAP / 2
        for side, css in enumerate(("reference", "window")):
            tall = one[css] / most * height
            bars.append(
                {
                    "x": round(start + side * half, 2),
                    "y": round(height - tall, 2),
                    "width": round(half, 2),
                    "height": round(tall, 2),
                    "css": css,
                    "title": title,
                }
            )
    return bars


def _bar_title(words: str, one: dict[str, Any]) -> str:
    return words % {
        "label": one["label"],
        "before": numbers.percent(one["reference"]),
        "now": numbers.percent(one["window"]),
    }


def _tick(label: str) -> str:
    """The lower bound of a range; the beginning of a long value."""
    label = label.partition(" – ")[0]
    return label if len(label) <= LONGEST_TICK else f"{label[: LONGEST_TICK - 1]}…"


# --- over time


def strip(history: Sequence[tuple[DriftWindow, dict[str, Any]]]) -> dict[str, Any] | None:
    """A bar for each window, oldest first; at the line in the middle the shift counts."""
    marks = [(window, judged["verdict"], judged["strength"]) for window, judged in history]
    return _strip(marks)


def strip_of_windows(recent: Sequence[DriftWindow]) -> dict[str, Any] | None:
    """The same for whole windows: the strongest column of each. recent: the newest first."""
    return _strip(
        [
            (window, window.verdict, max((one["strength"] for one in window.verdicts), default=0.0))
            for window in reversed(recent)
        ]
    )


def _strip(marks: Sequence[tuple[DriftWindow, str, float]]) -> dict[str, Any] | None:
    if not marks:
        return None
    verdicts = {"drifted": _("drifted"), "stable": _("stable")}
    words, other = _("Window %(id)s: %(verdict)s, %(strength)s × the limit"), _("not enough")
    bars = []
    for place, (window, verdict, strength) in enumerate(marks):
        told = {"id": window.pk, "verdict": verdicts.get(verdict, other)}
        tall = max(2.0, STRIP_HEIGHT * min(strength, FULL_STRENGTH) / FULL_STRENGTH)
        bars.append(
            {
                "x": place * (STRIP_BAR + STRIP_GAP),
                "y": round(STRIP_HEIGHT - tall, 1),
                "width": STRIP_BAR,
                "height": round(tall, 1),
                "css": {"drifted": "fill-bad", "stable": "fill-ok"}.get(verdict, "fill-idle"),
                "url": window.url,
                "title": words % {**told, "strength": numbers.significant(strength, 2)},
            }
        )
    return {
        "width": len(bars) * (STRIP_BAR + STRIP_GAP) - STRIP_GAP,
        "height": STRIP_HEIGHT,
        "limit": STRIP_HEIGHT / FULL_STRENGTH,
        "bars": bars,
    }
