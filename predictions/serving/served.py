"""One champion in memory: what checks its rows, scores and explains them, and the rows it was tested with."""

import asyncio
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from core.lib.errors import Conflict
from predictions.serving.files import ModelFiles
from predictions.serving.original import GRACE_S, OriginalScorer, as_ours, run_folder
from predictions.serving.snapshot import ChampionRef
from predictions.serving.together import Together
from scoring import self_test
from scoring.check import RowDecoder, Rows
from scoring.explain import Explanation, shapley
from scoring.runner_client import RunnerError, RunnerUnavailable
from scoring.score import Scorer, ScorerError, Scores
from scoring.self_test import SelfTestError
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec

# From here on scoring leaves the event loop, so that one large call does not hold up the small ones.
OFFLOAD_ROWS = 50


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
        """Where the model runs in a process of its own it raises InvalidRequest, Unavailable."""
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
            raise as_ours(error) from error

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
        spec = read_spec(ref.spec_json)
        sample = self_test.sample(files.reference(ref), spec)
        served = Served(ref, spec, _scorer(ref, spec, files, folder), sample.inputs)
    except (SpecError, ScorerError, SelfTestError, RunnerUnavailable) as error:
        raise Conflict(_cannot(ref, str(error)), service="mlflow") from error
    try:
        self_test.check(served.scorer.predict, spec, sample)
    except (SelfTestError, RunnerError, RunnerUnavailable) as error:
        served.stop()
        raise Conflict(_cannot(ref, str(error))) from error
    except BaseException:
        served.stop()
        raise
    return served


def _scorer(ref: ChampionRef, spec: Spec, files: ModelFiles, folder: Path) -> Scorer | OriginalScorer:
    if ref.serve_as == "runner":
        return OriginalScorer(files.model_folder(ref), spec, run_folder(folder, ref.sha256), ref.missing_as)
    return Scorer.from_onnx(files.onnx(ref), spec)


def _cannot(ref: ChampionRef, why: str) -> str:
    return _("%(model)s v%(version)s cannot be served: %(why)s.") % {
        "model": ref.model,
        "version": ref.version,
        "why": why.rstrip("."),
    }
