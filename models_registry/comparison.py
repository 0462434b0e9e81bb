"""Runs side by side: which columns a table gets, in which order, and which number is best."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from models_registry.mlflow_types import number
from models_registry.models import MlflowRun, ModelVersion
from scoring.spec import ERROR_METRICS, METRICS

MOST_METRICS, MOST_PARAMS = 5, 4
MOST_OF_ALL = 100  # of each kind, where all are asked for
# What a name begins with says where a metric was measured, not what it is.
MEASURED_ON = re.compile(r"^(?:holdout|train|training|test|val|valid|validation|eval|cv|oof|best|mean|avg)_")
# The stated rule: which way is better, by the words that a name ends with. Nothing else is ever marked.
LESS_IS_BETTER = ERROR_METRICS | {
    "loss", "error", "mse", "mape", "smape", "rmsle", "msle", "mean_absolute_error", "mean_squared_error",
    "root_mean_squared_error", "median_absolute_error", "max_error", "brier", "brier_score", "ece",
    "perplexity", "std",
}  # fmt: skip
MORE_IS_BETTER = frozenset().union(*METRICS.values()) - ERROR_METRICS | {
    "acc", "accuracy_score", "balanced_accuracy", "f1", "f1_score", "f1_macro", "f1_micro", "f1_weighted",
    "micro_f1", "weighted_f1", "macro_precision", "macro_recall", "auc", "auroc", "roc_auc_score", "pr_auc",
    "average_precision", "precision", "precision_score", "recall", "recall_score", "sensitivity",
    "specificity", "mcc", "kappa", "r2_score", "explained_variance", "ndcg",
}  # fmt: skip
COUNTS = re.compile(
    r"^(?:n|num|count)_|_(?:rows|count|n|epochs|steps|trees|features|samples)$|^(?:rows|epochs)$"
)


def columns(
    runs: Sequence[MlflowRun], *, primary: Collection[str] = (), everything: bool = False
) -> dict[str, Any]:
    """Metric and parameter names of these runs: the telling ones, or all, within bounds.

    `n_hidden` were left out.

    primary: the metrics that the runs' versions are judged by; these come first.
    """
    counts = _counts(run.metrics for run in runs)
    metrics = sorted(counts, key=lambda name: _rank(name, primary, -counts[name]))
    used = _counts(run.params for run in runs)
    params = sorted(used, key=lambda name: (-used[name], name))
    shown = (metrics[:MOST_OF_ALL], params[:MOST_OF_ALL])
    if not everything:
        telling = [name for name in metrics if not _is_baseline(name)]
        shown = (telling[:MOST_METRICS], params[:MOST_PARAMS])
    hidden = len(metrics) + len(params) - len(shown[0]) - len(shown[1])
    return {"metrics": shown[0], "params": shown[1], "n_hidden": hidden, "is_all": everything}


def _counts(mappings: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for mapping in mappings:
        for key in mapping:
            if not key.startswith("system/"):
                counts[key] = counts.get(key, 0) + 1
    return counts


def ordered(names: Iterable[str], primary: Collection[str] = ()) -> list[str]:
    """What the model is judged by, then the hold-out, the rest by name, the baseline last."""
    return sorted(names, key=lambda name: _rank(name, primary))


def _rank(name: str, primary: Collection[str], among_equals: int = 0) -> tuple[Any, ...]:
    if _is_baseline(name):
        group = 3
    elif name.removeprefix("holdout_") in primary:
        group = 0
    else:
        group = 1 if name.startswith("holdout_") else 2
    return (group, among_equals, is_count(name), name)


def _is_baseline(name: str) -> bool:
    return name.startswith("baseline_")


def is_count(name: str) -> bool:
    """Whether a metric of this name counts things, so that it is written without decimals."""
    return COUNTS.search(name) is not None


def compare(runs: Sequence[MlflowRun], primary: Collection[str] = ()) -> list[dict[str, Any]]:
    """Groups of rows: metrics with the best marked, then parameters; each says whether its values differ."""
    groups = []
    for kind in ("metrics", "params"):
        names = {key for run in runs for key in getattr(run, kind)}
        sequence = ordered(names, primary) if kind == "metrics" else sorted(names)
        rows = [_row(name, [getattr(run, kind).get(name) for run in runs], kind) for name in sequence]
        groups.append({"kind": kind, "rows": rows})
    return groups


def _row(name: str, values: list[Any], kind: str) -> dict[str, Any]:
    best = best_of(name, values) if kind == "metrics" else None
    cells = [{"value": value, "is_best": best is not None and value == best} for value in values]
    return {"name": name, "cells": cells, "differs": len({str(value) for value in values}) > 1}


def best_of(name: str, values: list[Any]) -> float | None:
    """The best number among two or more different ones; None where no rule says what is better."""
    numbers = {value for value in values if isinstance(number(value), int | float)}
    direction = better(name)
    if len(numbers) < 2 or direction is None:
        return None
    return min(numbers) if direction == "lower" else max(numbers)


def better(name: str) -> str | None:
    """ "higher" or "lower" when the rule knows the metric. A baseline tells of the data, not of the run."""
    if _is_baseline(name.lower()):
        return None
    plain = _without_place(name.lower())
    if plain in LESS_IS_BETTER or plain.endswith("_std"):
        return "lower"
    if plain in MORE_IS_BETTER:
        return "higher"
    return "lower" if plain.endswith("_loss") else None


def _without_place(name: str) -> str:
    """ "cv_mean_accuracy" as "accuracy"; a known name such as "mean_absolute_error" stays whole."""
    while name not in LESS_IS_BETTER and (shorter := MEASURED_ON.sub("", name)) != name:
        name = shorter
    return name.removesuffix("_mean")


def headers(runs: Sequence[MlflowRun], versions: Mapping[str, list[ModelVersion]]) -> list[dict[str, Any]]:
    """What each run is called at the head of its column: the versions it made, else its own name."""
    made = [versions.get(run.pk, []) for run in runs]
    is_one_model = len({version.model_id for some in made for version in some}) == 1
    names = [[f"v{row.version}" if is_one_model else str(row) for row in some] for some in made]
    return [{"run": run, "versions": ", ".join(some)} for run, some in zip(runs, names, strict=True)]
