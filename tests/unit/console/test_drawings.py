"""Drawings in the language that writes decimals with a comma: their numbers are plain all the same."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils.translation import override

from core.lib.ids import uuid7
from core.lib.templatetags import drawings
from models_registry.mlflow_types import Point
from models_registry.templatetags import registry
from pipelines import durations, gantt, graph, grid
from pipelines.models import Run, TaskInstance
from pipelines.pictures import ColouredBox, ColouredGraph
from predictions import explanation
from predictions.drift import drawings as drift
from predictions.models import DriftWindow, Prediction
from predictions.templatetags import drift_drawings
from tests.svg import wrong_numbers
from usecases.drawings import load_chart

REQUEST = RequestFactory().get("/pipelines/titanic_training")
AT = datetime(2026, 3, 1, tzinfo=UTC)
BINS = {"labels": ["a", "b", "c"], "reference": [0.123, 0.5, 0.377], "window": [0.321, 0.4, 0.279]}
TASKS = [
    {"id": "a", "downstream": ["b", "c"]},
    {"id": "b", "downstream": []},
    {"id": "c", "downstream": [], "is_mapped": True},
]


def _window(pk):
    return DriftWindow(pk=pk, model="titanic", verdict="stable")


def _grid():
    runs = [
        SimpleNamespace(pk=pk, state="success", created_at=AT, duration=None, has_ended=True, started_at=AT)
        for pk in (1, 2)
    ]
    columns = [
        SimpleNamespace(
            run=run,
            x=100.5,
            bar_y=12.5,
            bar_height=37.75,
            facts="0:1.5",
            strokes=[grid.Stroke("success", "M100.5,61.5V75.5")],
        )
        for run in runs
    ]
    rows = [SimpleNamespace(x=10.5, y=grid.CELL / 2 + 0.5, label="load", full_label="load")]
    made = SimpleNamespace(
        width=301.5,
        height=99.5,
        top=6.5,
        pitch=20.5,
        square=14.5,
        states=["success"],
        rows=rows,
        columns=columns,
    )
    return render_to_string("pipelines/_grid_svg.html", {"grid": made, "run": runs[0], "request": REQUEST})


def _gantt():
    tasks = [
        TaskInstance(
            task_id="load",
            map_index=-1,
            try_number=1,
            state="success",
            started_at=AT + timedelta(seconds=number),
            ended_at=AT + timedelta(seconds=7.5 + 3 * number),
            duration_s=7.5,
        )
        for number in range(3)
    ]
    drawn = gantt.draw(tasks, now=AT + timedelta(seconds=60))
    return render_to_string("pipelines/_gantt.html", {"gantt": drawn, "request": REQUEST})


def _durations():
    runs = [
        Run(
            pk=number,
            state="success",
            created_at=AT,
            started_at=AT,
            ended_at=AT + timedelta(seconds=12.3 * number),
        )
        for number in range(1, 5)
    ]
    values = {"chart": durations.draw(runs), "request": REQUEST}
    return render_to_string("pipelines/_durations.html", values)


def _graph():
    drawn = graph.draw(TASKS)
    boxes = [ColouredBox(box, "success", is_shown=False, n_instances=1) for box in drawn.boxes]
    return render_to_string(
        "pipelines/_graph_svg.html", {"request": REQUEST, "graph": ColouredGraph(drawn, boxes)}
    )


def _recent():
    bars = explanation.minute_bars([(AT, n) for n in (7, 3, 0, 5)])
    return render_to_string(
        "predictions/_recent.html",
        {"bars": bars, "predictions": [Prediction(id=uuid7(), at=AT, value=1)], "n_shown": 15},
    )


def _interval():
    check = SimpleNamespace(interval=(-0.0123, 0.0456), figure=0.0171, limit=-0.01, verdict="passed")
    return registry.interval(check)


def _strip():
    marks = [(_window(n), {"verdict": "stable", "strength": 0.377 * n}) for n in range(1, 4)]
    return drift_drawings.drift_strip(drift.strip(marks))


def _load():
    steps = [{"users": n, "p95": p95} for n, p95 in ((10, 80.25), (20, 301.5), (40, None))]
    test = SimpleNamespace(steps=steps, series=[], stated_p95_ms=250, max_users_within_p95=10)
    return render_to_string("usecases/_load_chart.html", {"chart": load_chart(test)})


DRAWINGS = {
    "load": _load,
    "grid": _grid,
    "gantt": _gantt,  # pipelines/_gantt.html
    "durations": _durations,
    "graph": _graph,
    "minutes": _recent,
    "interval": _interval,
    "strip": _strip,
    "pair": lambda: render_to_string("drift/_pair.html", {"pair": drift.pair(BINS), "label": "x"}),
    "small pair": lambda: drift_drawings.drift_pair(drift.small_pair(BINS)),
    "metric": lambda: registry.metric_chart([Point(n, n**0.5, AT) for n in range(5)], "loss"),
    "sparkline": lambda: drawings.sparkline([0.1, 0.25, 0.7], ""),
    "run bars": lambda: drawings.run_bars(
        [{"state": "success", "duration_s": 12.5}, {"state": "failed"}], ""
    ),
    "bar": lambda: drawings.bar(0.123, "run"),
    "push bar": lambda: drawings.push_bar(-0.123, 0.4),
    "line": lambda: render_to_string("streaming/_overview_line.html", {"stream": {"name": "x"}, "n": 1234}),
    "legend": lambda: render_to_string("drift/_legend.html"),
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("language", ["en", "es"])
def test_numbers_of_a_drawing_are_plain(name, language):
    with override(language):
        assert wrong_numbers(str(DRAWINGS[name]())) == []


def test_a_decimal_comma_would_be_found():
    assert wrong_numbers('<svg><rect y="12,5" x="1.5"/></svg>') == ['<rect y="12,5">']
    assert wrong_numbers('<svg><polyline points="1,5,2 3,4"/></svg>')
    assert wrong_numbers('<svg viewBox="0 0 12,5 3"/>')
    assert wrong_numbers('<svg><path d="M1.5,2 C3,4 5,6 7,8"/><polyline points="1.5,2 3,4.5"/></svg>') == []


def test_no_drawing_writes_a_number_by_language():
    """floatformat heeds no `localize off`; and every template that draws is drawn above."""
    folder = Path(settings.BASE_DIR) / "templates"
    drawn = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.html")}
    drawn = {name: text for name, text in drawn.items() if "<svg" in text}
    assert {name for name, text in drawn.items() if re.search(r'="[^"]*\|floatformat', text)} == set()
    here = Path(__file__).read_text()
    assert [name for name in drawn if name not in here] == []
