"""Runs side by side: which columns a table gets, which values differ, which metric is best."""

from collections.abc import Sequence
from typing import Any

from models_registry.models import MlflowRun

MOST_METRICS, MOST_PARAMS = 5, 4
# Words in a metric's name that say that less is better.
LESS_IS_BETTER = ("loss", "error", "mae", "rmse", "mse", "mape", "latency", "seconds")


def columns(runs: Sequence[MlflowRun], *, everything: bool = False) -> dict[str, Any]:
    """Metric and parameter names of these runs: the commonest, or all. `n_hidden` were left out."""
    metrics, params = _commonest(run.metrics for run in runs), _commonest(run.params for run in runs)
    shown = (metrics, params) if everything else (metrics[:MOST_METRICS], params[:MOST_PARAMS])
    hidden = len(metrics) + len(params) - len(shown[0]) - len(shown[1])
    return {"metrics": shown[0], "params": shown[1], "n_hidden": hidden, "is_all": everything}


def _commonest(mappings: Any) -> list[str]:
    counts: dict[str, int] = {}
    for mapping in mappings:
        for key in mapping:
            if not key.startswith("system/"):
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], key))


def compare(runs: Sequence[MlflowRun]) -> list[dict[str, Any]]:
    """Groups of rows: metrics with the best marked, then parameters; each says whether its values differ."""
    groups = []
    for kind in ("metrics", "params"):
        names = sorted({key for run in runs for key in getattr(run, kind)})
        rows = [_row(name, [getattr(run, kind).get(name) for run in runs], kind) for name in names]
        groups.append({"kind": kind, "rows": rows})
    return groups


def _row(name: str, values: list[Any], kind: str) -> dict[str, Any]:
    best = best_of(name, values) if kind == "metrics" else None
    cells = [{"value": value, "is_best": best is not None and value == best} for value in values]
    return {"name": name, "cells": cells, "differs": len({str(value) for value in values}) > 1}


def best_of(name: str, values: list[Any]) -> float | None:
    """The best number among two or more different ones."""
    numbers = {value for value in values if isinstance(value, int | float)}
    if len(numbers) < 2:
        return None
    is_less = any(word in name.lower() for word in LESS_IS_BETTER)
    return min(numbers) if is_less else max(numbers)
