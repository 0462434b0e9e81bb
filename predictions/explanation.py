"""What templates draw: an explanation as bars, predictions a minute, and the call that a program makes."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from core.lib.templatetags import numbers
from predictions import spec_form
from predictions.serving.served import Served
from scoring.spec import Spec

BAR_WIDTH, BAR_GAP, CHART_HEIGHT = 8, 2, 36


def drawn(spec: Spec, inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Contributions as bars, the strongest first."""
    contributions: Mapping[str, float] = found["contributions"]
    errors = found["errors"] or {}
    rows = [
        {
            "label": spec.field(name).title,
            "shown": spec_form.shown_value(spec.field(name), inputs.get(name)),
            "value": value,
            "text": signed(value),
            "error": errors.get(name),
        }
        for name, value in sorted(contributions.items(), key=lambda item: -abs(item[1]))
    ]
    return {
        "rows": rows,
        "limit": max((abs(value) for value in contributions.values()), default=1.0) or 1.0,
        "base": _base(spec, found["base"]),
        "target": _target(spec, found["target"]),
        "is_exact": found["is_exact"],
        "n_fields": len(rows),
        "n_reference": found["n_reference"],
        "n_left_out": found["n_left_out"],
    }


def signed(value: float) -> str:
    """With a real minus, two decimals for shares, four digits for others."""
    text = f"{abs(value):.2f}" if abs(value) < 1 else f"{abs(value):.4g}"
    if text == "0.00":
        return text
    return f"{'−' if value < 0 else '+'}{text}"


def _base(spec: Spec, base: float) -> str:
    if spec.class_values:
        return f"{base * 100:.0f} %"
    return f"{base:.4g} {spec.output.unit}".strip()


def _target(spec: Spec, target: str | None) -> str:
    texts = {str(label.value): label.text for label in spec.output.labels}
    return texts.get(target or "", target or "")


def minute_bars(minutes: Sequence[tuple[datetime, int]]) -> dict[str, Any]:
    """Bars of an SVG, oldest first; the highest fills it."""
    most = max((n for _minute, n in minutes), default=0) or 1
    bars = []
    for place, (minute, n) in enumerate(minutes):
        height = round(max(1.0, n / most * CHART_HEIGHT), 1)
        bars.append(
            {
                "x": place * (BAR_WIDTH + BAR_GAP),
                "y": CHART_HEIGHT - height,
                "height": height,
                "width": BAR_WIDTH,
                "css": "fill-run" if n else "fill-idle",
                "title": _("%(time)s: %(n)s") % {"time": numbers.clock(minute), "n": n},
            }
        )
    return {
        "bars": bars,
        "width": len(bars) * (BAR_WIDTH + BAR_GAP) - BAR_GAP,
        "height": CHART_HEIGHT,
        "most": most,
    }


def curl(request: HttpRequest, served: Served) -> dict[str, str]:
    """The same question from a shell and from Python, with this model's fields."""
    base = f"{request.scheme}://{request.get_host()}"
    path = reverse("api:model-predict", args=[served.ref.model])
    body = orjson.dumps({"rows": [served.spec.example]}).decode()
    call = "\n".join(
        [
            f"curl -s {shlex.quote(base + path)} \\",
            '  -H "Authorization: Bearer $ATALAYA_TOKEN" \\',
            '  -H "Content-Type: application/json" \\',
            f"  -d {shlex.quote(body)}",
        ]
    )
    python = "\n".join(
        [
            "import httpx",
            "",
            "answer = httpx.post(",
            f'    "{base}{path}",',
            '    headers={"Authorization": f"Bearer {token}"},',
            f'    json={{"rows": [{served.spec.example!r}]}},',
            ")",
            'print(answer.json()["predictions"])',
        ]
    )
    return {"curl": call, "python": python, "serving_url": f"{settings.CONSOLE_SERVING_URL}{path}"}
