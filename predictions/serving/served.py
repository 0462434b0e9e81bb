"""One champion in memory: what checks its rows, scores and explains them, and the rows it was tested with."""

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, Unavailable
from predictions.serving.files import ModelFiles
from predictions.serving.original import GRACE_S, OriginalScorer, run_folder
from predictions.serving.snapshot import ChampionRef
from predictions.serving.together import Together
from scoring import features
from scoring.check import CheckError, RowDecoder, Rows
from scoring.explain import Explanation, shapley
from scoring.runner_client import RunnerError, RunnerUnavailable
from scoring.score import Outcome, Scorer, ScorerError, Scores
from scoring.spec import Spec, SpecError

N_TEST_ROWS = 20
N_EXPLAIN_ROWS = 500
# From here on scoring leaves the event loop, so that one large call does not hold up the small ones.
OFFLOAD_ROWS = 50
# Compiled trees may differ from the original in the sixth digit; a wrong model differs in the first.
TOLERANCE = 1e-3


class Served:
    """A champion that answers. Made by `load`, never changed: a new champion is another object."""

    def __init__(
        self,
        ref: ChampionRef,
        spec: Spec,
        scorer: Scorer | OriginalScorer,
        reference: list[dict[str, Any]],
    ) -> None:
        self.ref = ref
        self.spec = spec
        self.decoder = RowDecoder(spec)
        self.reference = reference
        self.scorer = scorer
        self._together = Together(scorer.score_rows) if isinstance(scorer, Scorer) else None

    async def score(self, rows: Rows) -> Scores:
        """Raises Unavailable when the model runs in a process of its own that does not answer."""
        if isinstance(self.scorer, OriginalScorer):
            return await self.scorer.score_rows(rows)
        if len(rows) == 1 and self._together is not None:
            return await self._together.score(rows.inputs[0])
        if len(rows) < OFFLOAD_ROWS:
            return self.scorer.score_rows(rows)
        return await asyncio.to_thread(self.scorer.score_rows, rows)

    def explain(self, row: dict[str, Any]) -> Explanation:
        """Shapley values over the raw fields, through the served model. Takes a while: call in a thread."""
        try:
            return shapley(self.scorer, self.spec, row, self.reference)
        except (RunnerError, RunnerUnavailable) as error:
            raise Unavailable(str(error), service="runner") from error

    @property
    def has_process(self) -> bool:
        """Whether it answers from a child, which ends with the thread that loaded it."""
        return isinstance(self.scorer, OriginalScorer)

    @property
    def is_alive(self) -> bool:
        """False once the child that scores has died."""
        return not isinstance(self.scorer, OriginalScorer) or self.scorer.is_alive

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End what serves only this model, once nobody waits for it; a compiled one just lives in memory."""
        if isinstance(self.scorer, OriginalScorer):
            self.scorer.stop(grace_s)


def load(ref: ChampionRef, files: ModelFiles, folder: Path) -> Served:
    """Fetch, verify, load, and test on stored rows. Raises ConsoleError; nothing that serves is touched."""
    try:
        spec = Spec.from_json(ref.spec_json)
        reference, scores = _rows(files.reference(ref), spec)
        served = Served(ref, spec, _scorer(ref, spec, files, folder), reference)
    except (SpecError, ScorerError, CheckError, RunnerUnavailable, pa.ArrowException) as error:
        raise Conflict(_cannot(ref, str(error)), service="mlflow") from error
    try:
        _self_test(served, scores)
    except BaseException:
        served.stop()
        raise
    return served


def _scorer(ref: ChampionRef, spec: Spec, files: ModelFiles, folder: Path) -> Scorer | OriginalScorer:
    if ref.serve_as == "runner":
        return OriginalScorer(files.model_folder(ref), spec, run_folder(folder, ref.sha256))
    return Scorer.from_onnx(files.onnx(ref), spec)


def _rows(parquet: bytes, spec: Spec) -> tuple[list[dict[str, Any]], list[float]]:
    """Rows spread evenly over the reference, as inputs, and the scores stored with them."""
    names = [field.name for field in spec.fields]
    table = pq.read_table(io.BytesIO(parquet), columns=[*names, "score"])
    step = max(1, table.num_rows // N_EXPLAIN_ROWS)
    picked = table.take(list(range(0, table.num_rows, step))[:N_EXPLAIN_ROWS])
    rows = picked.select(names).to_pylist()
    clean = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    if not clean:
        return [], []
    return RowDecoder(spec).decode_rows(clean).inputs, picked.column("score").to_pylist()


def _self_test(served: Served, expected: list[float]) -> None:
    """Score stored rows again: what training saw, serving has to see."""
    inputs = served.reference[:N_TEST_ROWS]
    if not inputs:
        raise Conflict(_cannot(served.ref, _("its reference has no rows")))
    try:
        outcome = served.scorer.predict(features.frame(served.spec, inputs))
    except (RunnerError, RunnerUnavailable) as error:
        raise Conflict(_cannot(served.ref, str(error))) from error
    found = score_of(outcome)
    wanted = np.asarray(expected[:N_TEST_ROWS], dtype=np.float64)
    if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
        worst = float(np.nanmax(np.abs(found - wanted)))
        why = _("it scores its own reference rows differently, by up to %(worst).4g")
        raise Conflict(_cannot(served.ref, why % {"worst": worst}))


def score_of(outcome: Outcome) -> np.ndarray:
    """The stored score: of two classes the second's probability, of more the winner's, else the value."""
    if outcome.probabilities is None:
        return np.asarray(outcome.values, dtype=np.float64)
    shares = outcome.probabilities
    return shares[:, 1] if shares.shape[1] == 2 else shares.max(axis=1)


def _cannot(ref: ChampionRef, why: str) -> str:
    return _("%(model)s v%(version)s cannot be served: %(why)s.") % {
        "model": ref.model,
        "version": ref.version,
        "why": why.rstrip("."),
    }
