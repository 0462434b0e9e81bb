"""Server time, bytes and queries of each page of drift, with a model of 20 fields and 50,000 predictions.

    python -m benchmarks.drift [--rounds 30]

Needs no stack: a PostgreSQL in a temporary folder gets the predictions, a reference of 5,000 rows and the
windows of 500 that were judged. Exit status 1 when the p95 of a page is over 50 ms; the list over REST,
which holds 50 windows whole, has no bound.
"""

import itertools
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.pages import MOST_MS, Figures, compared_with_bounds

MODEL = "bench"
N_NUMBERS, N_TEXTS = 15, 5
N_REFERENCE, N_PREDICTIONS, N_WAITING, WINDOW = 5_000, 50_000, 300, 500
N_JUDGED = 8  # different windows, which are then repeated
REST = "drift (REST)"
PLACES = [f"place {n}" for n in range(12)]


def spec() -> Any:
    """Twenty fields, some of which may be missing."""
    from scoring.spec_reading import read_spec

    numbers = [
        {"name": f"number_{n}", "label": f"Number {n}", "type": "number", "nullable": True, "seen": [-4, 4]}
        for n in range(N_NUMBERS)
    ]
    choices = {"values": [{"value": place} for place in PLACES], "open": True}
    texts = [
        {"name": f"text_{n}", "label": f"Text {n}", "type": "text", "choices": choices}
        for n in range(N_TEXTS)
    ]
    plain = {
        "task": "classification",
        "fields": [*numbers, *texts],
        "output": {"labels": [{"value": 0}, {"value": 1}]},
        "primary_metric": "accuracy",
    }
    return read_spec(json.dumps(plain))


def columns(n_rows: int, *, seed: int, shift: float = 0.0) -> dict[str, list[Any]]:
    """Rows by column with their score. shift: of every third number."""
    dice = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {}
    for n in range(N_NUMBERS):
        values = dice.normal(shift if n % 3 == 0 else 0, 1, n_rows).round(4)
        found[f"number_{n}"] = [
            None if is_gone else one
            for one, is_gone in zip(values.tolist(), dice.random(n_rows) < 0.05, strict=True)
        ]
    for n in range(N_TEXTS):
        found[f"text_{n}"] = dice.choice(PLACES, n_rows).tolist()
    found["score"] = dice.beta(2, 3, n_rows).round(6).tolist()
    return found


def fill() -> None:
    """A champion, what it predicted in the last days, and a window for each 500 of it but the last ones."""
    from django.db import connection

    from core.access.models import User
    from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel
    from predictions.models import DriftWatch

    described = spec()
    model = RegisteredModel.objects.create(name=MODEL, alias_version=1)
    version = ModelVersion.objects.create(
        model=model,
        version=1,
        state="champion",
        spec_json=described.to_json().decode(),
        reference_sha256="a" * 64,
        served_sha256="b" * 64,
        serve_as="onnx",
    )
    ChampionPeriod.objects.create(
        model=model,
        version=version,
        by=User.objects.create_user("approver"),
        next_attempt_at=None,
        served_sha256=version.served_sha256,
        reference_sha256=version.reference_sha256,
        spec_sha256="c" * 64,
    )
    _predict()
    bookmark = _judge(described)
    DriftWatch.objects.create(
        model=MODEL, version="1", bookmark=bookmark, reference_sha256="a" * 64, summary={}
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _predict() -> None:
    from predictions import partitions
    from predictions.models import Prediction

    rows = columns(N_PREDICTIONS, seed=1)
    names = [name for name in rows if name != "score"]
    now = datetime.now(UTC)
    ids = _ids(now - timedelta(seconds=N_PREDICTIONS))
    for day in range(2):
        partitions.ensure((now - timedelta(days=day)).date())
    for start in range(0, N_PREDICTIONS, 2_000):
        Prediction.objects.bulk_create(
            Prediction(
                id=id_,
                request_id="r",
                at=partitions.at_of(id_),
                model=MODEL,
                version="1",
                user_id=1,
                username="bench",
                source="api",
                row=0,
                inputs={name: rows[name][place] for name in names},
                value=int(rows["score"][place] > 0.5),
                probabilities={"0": 1 - rows["score"][place], "1": rows["score"][place]},
            )
            for place, id_ in zip(range(start, start + 2_000), ids, strict=False)
        )


def _ids(first: datetime) -> Iterator[Any]:
    """UUIDv7, one a second."""
    milliseconds = int(first.timestamp() * 1000)
    for n in itertools.count():
        yield uuid.UUID(int=(milliseconds + 1000 * n) << 80 | 7 << 76 | 2 << 62 | n)


def _judge(described: Any) -> int:
    """The last arrival that a window holds."""
    import msgspec

    from predictions.models import DriftWindow, Prediction
    from scoring.drift import judge, reference
    from scoring.drift.shapes import Limits

    of = reference.summary(described, columns(N_REFERENCE, seed=2), N_REFERENCE)
    judged = [
        judge.judge(of, columns(WINDOW, seed=10 + n, shift=0.3 if n % 4 == 3 else 0.0), Limits())
        for n in range(N_JUDGED)
    ]
    arrivals = list(Prediction.objects.order_by("arrival").values_list("arrival", flat=True))
    ends = arrivals[WINDOW - 1 : N_PREDICTIONS - N_WAITING : WINDOW]
    now = datetime.now(UTC)
    DriftWindow.objects.bulk_create(
        DriftWindow(
            model=MODEL,
            version="1",
            after=end - WINDOW,
            upto=end,
            since=now - timedelta(minutes=9 * (len(ends) - place)),
            until=now - timedelta(minutes=9 * (len(ends) - place) - 8),
            n=WINDOW,
            n_reference=N_REFERENCE,
            verdict=judged[place % N_JUDGED].verdict,
            columns=msgspec.to_builtins(
                sorted(
                    judged[place % N_JUDGED].columns,
                    key=lambda one: (one.verdict != "drifted", -one.strength),
                )
            ),
            limits=msgspec.to_builtins(Limits()),
        )
        for place, end in enumerate(ends)
    )
    return ends[-1]


def pages() -> dict[str, str]:
    """What is asked for, by what it is called here."""
    from django.urls import reverse

    from predictions.models import DriftWindow

    window = DriftWindow.objects.order_by("-pk").first()
    assert window is not None
    return {
        "models": reverse("drift:model-list"),
        "model": reverse("drift:model-detail", args=[MODEL]),
        "current window": reverse("drift:model-filling", args=[MODEL]),
        "box": reverse("drift:model-box", args=[MODEL]),
        "rules": reverse("drift:model-rules", args=[MODEL]),
        "window": reverse("drift:window-detail", args=[MODEL, window.pk]),
        "evidence": reverse("drift:window-evidence", args=[MODEL, window.pk]),
        REST: f"/api/v1/models/{MODEL}/drift",
    }


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when every page keeps within its bound."""
    heading = f"{N_NUMBERS + N_TEXTS} fields, {N_PREDICTIONS} predictions"
    return compared_with_bounds(arguments, __doc__, heading, fill=fill, pages=pages, is_over=is_over)


def is_over(name: str, found: Figures) -> bool:
    """Whether a page takes longer than it may; the list over REST is not bound."""
    return found.p95 > MOST_MS and name != REST


if __name__ == "__main__":
    sys.exit(main())
