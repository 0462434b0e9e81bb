"""What a version carries besides the model: reference rows, figures, pictures."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scoring import features, metrics
from scoring.drift import held_out
from scoring.originals import Original
from scoring.score import score_of
from scoring.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_REFERENCE_ROWS = 20_000


def reference(spec: Spec, train: pd.DataFrame, held: pd.DataFrame, model: Original, *, seed: int) -> bytes:
    """Parquet: at most 20,000 training rows with their label and the model's score, and in its metadata the
    scores of as many rows held out, see `scoring.drift.held_out`. train, held: fields and label.
    """
    table, unseen = (_drawn(rows, seed) for rows in (train, held))
    scored = features.with_column(table, spec.score_column, _scores(spec, model, table))
    frozen = pa.Table.from_pandas(scored.reset_index(drop=True), preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(held_out.noted(frozen, _scores(spec, model, unseen)), buffer)
    return buffer.getvalue()


def _drawn(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows if len(rows) <= MAX_REFERENCE_ROWS else rows.sample(MAX_REFERENCE_ROWS, random_state=seed)


def _scores(spec: Spec, model: Original, rows: pd.DataFrame) -> np.ndarray:
    return score_of(model.predict(features.frame(spec, rows)))


def figures(spec: Spec, model: Original, train: pd.DataFrame, holdout: pd.DataFrame) -> dict[str, Any]:
    """Metrics on the hold-out beside those of the trivial baseline, and per slice."""
    columns = features.frame(spec, holdout)
    truth = holdout[spec.label_column].to_numpy()
    outcome = model.predict(columns)
    trivial = metrics.baseline(spec, train[spec.label_column].to_numpy(), len(holdout))
    slices = metrics.slice_keys(spec, columns)
    return {
        "train_rows": len(train),
        "holdout_rows": len(holdout),
        "holdout": metrics.evaluate(spec, truth, outcome),
        "baseline": metrics.evaluate(spec, truth, trivial),
        "slices": metrics.by_slice(spec, truth, outcome, slices),
    }


def picture(spec: Spec, model: Original, holdout: pd.DataFrame) -> tuple[str, bytes]:
    """A file name, and a PNG: the confusion matrix of a classification, the residuals of a regression."""
    if spec.task == "regression":
        return "residuals.png", residual_picture(spec, model, holdout)
    return "confusion_matrix.png", confusion_picture(spec, model, holdout)


def residual_picture(spec: Spec, model: Original, holdout: pd.DataFrame) -> bytes:
    """A PNG: each hold-out row's error (predicted - true) over its prediction, and their spread."""
    predicted = model.predict(features.frame(spec, holdout)).values
    errors = predicted - holdout[spec.label_column].to_numpy(np.float64)
    figure, (cloud, spread) = _pyplot().subplots(1, 2, figsize=(8, 3.8), layout="constrained", sharey=True)
    cloud.scatter(predicted, errors, s=6, alpha=0.4)
    cloud.axhline(0, color="black", linewidth=0.8)
    unit = f" ({spec.output.unit})" if spec.output.unit else ""
    cloud.set(xlabel=f"Predicted{unit}", ylabel="Predicted - true", title=f"{len(errors):,} hold-out rows")
    spread.hist(errors, bins=40, orientation="horizontal")
    spread.set(xlabel="Rows")
    return png(figure)


def confusion_picture(spec: Spec, model: Original, holdout: pd.DataFrame) -> bytes:
    """A PNG: truth down, prediction across, counts in the cells."""
    labels = spec.output.labels
    position = {label.value: index for index, label in enumerate(labels)}
    predicted = model.predict(features.frame(spec, holdout)).values.tolist()
    table = np.zeros((len(labels), len(labels)), dtype=int)
    for truth, guess in zip(holdout[spec.label_column].tolist(), predicted, strict=True):
        table[position[truth], position[guess]] += 1
    figure, axes = _pyplot().subplots(figsize=(5, 4.2), layout="constrained")
    axes.imshow(table, cmap="Blues")
    axes.set_xticks(range(len(labels)), [label.text for label in labels])
    axes.set_yticks(range(len(labels)), [label.text for label in labels])
    axes.set(xlabel="Predicted", ylabel="True", title=f"Confusion on {len(holdout):,} hold-out rows")
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if count > table.max() / 2 else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour)
    return png(figure)


def shap_picture(values: np.ndarray, table: np.ndarray, names: list[str]) -> bytes:
    """A PNG of SHAP's summary. values: shape (n_rows, n_names), of one output; table: what they explain."""
    import shap

    plt = _pyplot()
    shap.summary_plot(
        values, table, feature_names=names, show=False, max_display=15, rng=np.random.default_rng(0)
    )
    return png(plt.gcf())


def png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    _pyplot().close(figure)
    return buffer.getvalue()


def _pyplot() -> Any:
    """matplotlib, without any screen; what registers a model has no need of it."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    return pyplot
