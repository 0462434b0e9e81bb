"""Makes a model version ready to serve and measures it: `python -m scoring.compile JOB_DIR`, in the sandbox.

In: job.json, the original, its spec, its reference and hold-out rows, and the champion if there is one.
Out: model.onnx when ONNX answers like the original, and result.json with everything that the gate judges.
"""

import hashlib
import importlib.metadata
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from scoring import convert, features, frames, learning, metrics, sampling, self_test
from scoring.alike import Scale
from scoring.check import CheckError, NoNumber, RowDecoder
from scoring.convert import ConversionError, Parity
from scoring.originals import Original, OriginalError
from scoring.result import Evaluation, Job, Result, read_result
from scoring.score import ModelFailure, Outcome, Predictor, Scorer, ScorerError, ScoringUnavailable, score_of
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec
from scoring.words import grouped

COMPARED_ROWS = 2_000
LATENCY_CALLS = 500  # a tenth of them for the runner
LATENCY_ROUNDS = 10
LATENCY_WARM_UP = 50
MAX_REFERENCE_ROWS, MAX_HOLDOUT_ROWS = 20_000, 50_000
MAX_GROUP_BYTES = 2**30  # of a file's row groups, all columns; the sandbox has four times that
MOST_WORDS = 1_000  # of what a champion raises, in characters
__all__ = ["CompileError", "compile_version", "main", "read_result"]

_LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "pandas")


class CompileError(Exception):
    """Nothing can be scored; the message is for the person who asked."""


def compile_version(folder: Path) -> Result:
    """Raises CompileError."""
    job = _job(folder)
    spec = _spec(folder / job.spec)
    reference = _table(folder / job.reference, spec, limit=MAX_REFERENCE_ROWS)
    original = _original(folder / job.model, spec)
    original = original.with_missing(learning.kinds_of_missing(original, reference))
    holdout = _table(folder / job.holdout, spec, limit=MAX_HOLDOUT_ROWS)
    compiled, sha256, parity, reason = _compiled(original, reference, folder)
    served: Predictor = compiled or original
    truth = holdout[spec.label_column].tolist()
    columns = features.frame(spec, holdout)
    slices = metrics.slice_keys(spec, columns)
    champion, champion_error = _champion(folder, job, spec, holdout, slices)
    p50, p99 = _latency_ms(served, reference)
    return Result(
        serve_as="onnx" if compiled else "runner",
        reason=reason,
        sha256=sha256,
        parity=parity,
        holdout_rows=len(truth),
        holdout_sha256=hashlib.sha256((folder / job.holdout).read_bytes()).hexdigest(),
        truth=truth,
        slices=slices,
        candidate=_evaluation(spec, truth, served.predict(columns), slices),
        baseline=_evaluation(
            spec, truth, metrics.baseline(spec, reference[spec.label_column], len(truth)), slices
        ),
        champion=champion,
        champion_error=champion_error,
        latency_p50_ms=p50,
        latency_p99_ms=p99,
        self_test=_self_test(served, (folder / job.reference).read_bytes()),
        missing_as=dict(original.missing_as),
        library_versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def _compiled(
    original: Original, reference: pd.DataFrame, folder: Path
) -> tuple[Scorer | None, str, Parity | None, str]:
    """The compiled model, its hash, the comparison and a sentence; no model when the original must serve."""
    spec = original.spec
    try:
        data = convert.to_onnx(original)
        scorer = Scorer.from_onnx(data, spec)
        rows = reference.iloc[sampling.evenly(len(reference), COMPARED_ROWS)]
        groups = ((words, features.frame(spec, part)) for words, part in convert.rows_to_compare(spec, rows))
        scale = Scale.of(score_of(original.predict(features.frame(spec, rows))))
        parity = convert.compare(original, scorer, groups, scale)
    except (ConversionError, ModelFailure, ScorerError, ScoringUnavailable) as error:
        return (
            None,
            "",
            None,
            f"It does not convert to ONNX ({error})." + _as_learnt(original),
        )
    if not parity.holds:
        return None, "", parity, _difference(parity) + _as_learnt(original)
    (folder / "model.onnx").write_bytes(data)
    return scorer, hashlib.sha256(data).hexdigest(), parity, _difference(parity)


def _as_learnt(original: Original) -> str:
    kinds = {"none": "None", "nan": "NaN", "na": "NA"}
    names = [f"{kinds[kind]} in {name}" for name, kind in original.missing_as.items()]
    told = f" Missing text reaches it as it learnt it: {', '.join(names)}." if names else ""
    return f" The original is served by a runner.{told}"


def _difference(parity: Parity) -> str:
    place = f", most {parity.where}" if parity.where and not parity.holds else ""
    refused = f" The original refuses rows {parity.refused}." if parity.refused else ""
    return (
        f"Compiled and original differ by at most {parity.max_difference:.2g} on {grouped(parity.rows)} rows "
        f"(tolerance {parity.tolerance:g}){place}, with {parity.labels_different} different labels.{refused}"
    )


def _self_test(served: Predictor, reference: bytes) -> str:
    """Why serving would refuse it; empty when it would not."""
    predict = served.predict if isinstance(served, Scorer) else _as_the_runner(served)
    try:
        sample = self_test.sample(reference, served.spec)
        self_test.check(predict, served.spec, sample)
    except self_test.SelfTestError as error:
        return str(error)
    return sample.refused


def _as_the_runner(original: Predictor) -> Callable[[features.Columns], Outcome]:
    """Through the messages that reach the original when it serves."""
    spec = original.spec

    def predict(columns: features.Columns) -> Outcome:
        asked = frames.columns(spec, frames.request(1, spec, columns))
        return frames.outcome(spec, frames.reply(1, original.predict(asked)))

    return predict


def _champion(
    folder: Path, job: Job, candidate: Spec, holdout: pd.DataFrame, slices: dict[str, list[str]]
) -> tuple[Evaluation | None, str]:
    """The champion on the candidate's hold-out; a sentence where it cannot be scored there."""
    if job.champion is None:
        return None, job.champion_error
    try:
        spec = _spec(folder / job.champion.spec)
        if job.champion.onnx is not None:
            champion: Predictor = Scorer.from_onnx((folder / job.champion.onnx).read_bytes(), spec)
        else:
            champion = _original(folder / (job.champion.model or "champion"), spec)
        if spec.task != candidate.task or spec.class_values != candidate.class_values:
            return None, "The champion answers something else: its task or its labels differ."
    except (CompileError, ScorerError, OSError) as error:
        return None, f"The champion cannot be scored: {error}"
    try:
        outcome = _answers(champion, holdout.drop(columns=candidate.label_column))
    except CompileError as error:
        return None, f"The champion cannot be scored on this hold-out: {error}"
    return _evaluation(candidate, holdout[candidate.label_column].tolist(), outcome, slices), ""


def _answers(champion: Predictor, rows: pd.DataFrame) -> Outcome:
    """rows: without the label, whose name may be a field's to the champion.

    Raises CompileError: data that changed may be why the champion is to be replaced.
    """
    try:
        columns = features.frame(champion.spec, rows)
    except KeyError as error:
        raise CompileError(f"it has no column {error}.") from error
    except (TypeError, ValueError) as error:  # what was a number may be text by now
        raise CompileError(f"a column is not what the champion takes: {str(error)[:MOST_WORDS]}.") from error
    try:
        return champion.predict(columns)
    except (ModelFailure, ScoringUnavailable) as error:
        raise CompileError(str(error)) from error
    except Exception as error:  # estimators raise what they like; the candidate is judged all the same
        raise CompileError(f"{type(error).__name__}: {str(error)[:MOST_WORDS]}") from error


def _evaluation(spec: Spec, truth: list[Any], outcome: Outcome, slices: dict[str, list[str]]) -> Evaluation:
    return Evaluation(
        values=outcome.values.tolist(),
        probabilities=None if outcome.probabilities is None else outcome.probabilities.tolist(),
        metrics=metrics.evaluate(spec, truth, outcome),
        slices=metrics.by_slice(spec, truth, outcome, slices),
    )


def _latency_ms(served: Predictor, reference: pd.DataFrame) -> tuple[float, float]:
    """Median and 99th percentile of one row: decoded, checked, derived and scored, as a request is.

    The percentile is that of the best of some rounds: what else the machine does meanwhile, such as the
    training of the next model, only adds to a round.
    """
    decoder = RowDecoder(served.spec)
    inputs = _inputs(served.spec, reference)
    body = msgspec.json.encode({"rows": [inputs]})
    calls = LATENCY_CALLS if isinstance(served, Scorer) else LATENCY_CALLS // 10
    times: list[float] = []
    try:
        for _ in range(LATENCY_WARM_UP + calls):
            start = time.perf_counter()
            rows = decoder.decode(body)
            if isinstance(served, Scorer):
                served.score_rows(rows)
            else:
                served.predict(features.frame(served.spec, rows))
            times.append((time.perf_counter() - start) * 1000)
    except NoNumber as error:
        raise CompileError("The model answers a row of its own reference with no number.") from error
    rounds = np.array(times[LATENCY_WARM_UP:]).reshape(LATENCY_ROUNDS, -1)
    return float(np.median(rounds)), float(np.percentile(rounds, 99, axis=1).min())


def _inputs(spec: Spec, reference: pd.DataFrame) -> dict[str, Any]:
    """A row to time: the example, else the first reference row. Raises CompileError when it is refused."""
    row = spec.example or next(iter(reference[[field.name for field in spec.fields]].to_dict("records")))
    kinds: dict[str, Any] = {"integer": int, "number": float, "text": str, "boolean": bool}
    plain = {
        f.name: None if pd.isna(row[f.name]) else kinds[f.type](row[f.name])
        for f in spec.fields
        if f.name in row
    }
    try:
        RowDecoder(spec).decode_rows([plain])
    except CheckError as error:
        raise CompileError(
            f"The spec refuses a row of its own reference: {error.errors[0]['message']}."
        ) from error
    return plain


def _job(folder: Path) -> Job:
    try:
        return msgspec.json.decode((folder / "job.json").read_bytes(), type=Job)
    except (OSError, msgspec.DecodeError) as error:
        raise CompileError(f"job.json cannot be read: {error}") from error


def _spec(path: Path) -> Spec:
    try:
        return read_spec(path.read_bytes())
    except OSError as error:
        raise CompileError(f"The version has no {path.name}: {error}") from error
    except SpecError as error:
        raise CompileError(f"{path.name} cannot be used: {error}") from error


def _original(folder: Path, spec: Spec) -> Original:
    try:
        return Original.load(folder, spec)
    except OriginalError as error:
        raise CompileError(str(error)) from error
    except Exception as error:  # a broken or crafted model raises anything; it must end as a sentence
        raise CompileError(f"The model does not load: {type(error).__name__}: {error}") from error


def _table(path: Path, spec: Spec, *, limit: int) -> pd.DataFrame:
    """Rows of raw fields with their label: at most `limit`, evenly over the file."""
    try:
        file = pq.ParquetFile(path)
        table = sampling.read(file, None, most_rows=limit, most_bytes=MAX_GROUP_BYTES).to_pandas()
    except sampling.TooLarge as error:
        raise CompileError(f"{path.name} {error}.") from error
    except (OSError, ValueError) as error:  # Arrow's own are among them
        raise CompileError(f"{path.name} cannot be read: {error}") from error
    wanted = [field.name for field in spec.fields] + [spec.label_column]
    if missing := [name for name in wanted if name not in table.columns]:
        raise CompileError(f"{path.name} lacks the columns {', '.join(missing)}.")
    if table.empty:
        raise CompileError(f"{path.name} holds no rows.")
    return table


def main(argv: list[str]) -> int:
    folder = Path(argv[1])
    try:
        result = compile_version(folder)
    except (CompileError, ModelFailure, ScoringUnavailable, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    (folder / "result.json").write_bytes(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
