"""One champion in memory: what checks its rows, scores and explains them, and the rows it was tested with."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, InvalidRequest, Unavailable
from predictions.serving.files import ModelFiles
from predictions.serving.original import GRACE_S, OriginalScorer, run_folder
from predictions.serving.snapshot import ChampionRef
from predictions.serving.together import Together
from scoring import self_test
from scoring.check import NoNumber, Row, RowDecoder, Rows
from scoring.explain import BUDGET_S, Explanation, NotExplained, shapley
from scoring.score import ModelFailure, Scorer, ScorerError, Scores, ScoringUnavailable
from scoring.self_test import SelfTestError
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec

log = structlog.get_logger(__name__)

# From here on scoring leaves the event loop, so that one large call does not hold up the small ones.
OFFLOAD_ROWS = 50
LONGEST_WORDS = 500  # of what a model says, in an answer
# Rows of a call that the model fails on are looked for: so many, with so many calls, for so long.
MOST_FAILING = 10
MOST_SEARCHES = 200
SEARCH_TIMEOUT_S = 5.0


class _Failing(NamedTuple):
    """rows: place and error of rows that fail alone. is_all: whether there are certainly no others."""

    rows: list[tuple[int, Exception]]
    is_all: bool


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
        """Raises NoNumber, InvalidRequest with the rows that the model fails on, Unavailable."""
        try:
            return await self._scores(rows)
        except ModelFailure as error:
            failing = _Failing([(0, error)], True) if len(rows) == 1 else await self._failing(rows.inputs)
            raise _refused(failing, error) from error
        except ScoringUnavailable as error:
            raise _away(error) from error

    async def _failing(self, inputs: list[Row]) -> "_Failing":
        """The first rows that the model fails on when it is asked half by half, as far as that is known."""
        found: list[tuple[int, Exception]] = []
        middle = len(inputs) // 2  # all of them have failed already
        waiting = [(middle, inputs[middle:]), (0, inputs[:middle])]
        with contextlib.suppress(TimeoutError, ScoringUnavailable):
            async with asyncio.timeout(SEARCH_TIMEOUT_S):
                for _n in range(MOST_SEARCHES):
                    if not waiting or len(found) >= MOST_FAILING:
                        break
                    first, part = waiting[-1]
                    error = await self._failure_of(part)
                    waiting.pop()
                    if error is not None and len(part) == 1:
                        found.append((first, error))
                    elif error is not None:
                        middle = len(part) // 2
                        waiting += [(first + middle, part[middle:]), (first, part[:middle])]
        return _Failing(found, not waiting)

    async def _failure_of(self, inputs: list[Row]) -> Exception | None:
        """Raises ScoringUnavailable."""
        rows = Rows(inputs, [[]] * len(inputs))
        try:
            if isinstance(self.scorer, OriginalScorer):
                await self.scorer.score_rows(rows)
            else:  # many calls: even small ones would hold up the event loop
                await asyncio.to_thread(self.scorer.score_rows, rows)
        except (ModelFailure, NoNumber) as error:
            return error
        return None

    async def _scores(self, rows: Rows) -> Scores:
        if isinstance(self.scorer, OriginalScorer):
            return await self.scorer.score_rows(rows)
        if len(rows) == 1 and self._together is not None:
            return await self._together.score(rows.inputs[0])
        if len(rows) < OFFLOAD_ROWS:
            return self.scorer.score_rows(rows)
        return await asyncio.to_thread(self.scorer.score_rows, rows)

    def explain(
        self,
        row: Row,
        *,
        n_row: int = 0,
        budget_s: float = BUDGET_S,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Explanation:
        """Shapley values over the raw fields, through the served model. Takes a while: call in a thread.

        n_row: its place in the call. Raises NoNumber, InvalidRequest, Unavailable; Conflict for a row that is
        answered, but cannot be explained; GivenUp once it is not wanted any more.
        """
        try:
            return shapley(
                self.scorer, self.spec, row, self.reference, budget_s=budget_s, is_wanted=is_wanted
            )
        except ModelFailure as error:
            raise _refused(_Failing([(n_row, error)], True), error) from error
        except NoNumber as error:
            raise NoNumber([n_row]) from error
        except NotExplained as error:
            words = _(
                "This row is answered, but cannot be explained: in each mixture of its values with those of"
                " other rows the model fails: %(error)s"
            ) % {"error": str(error)[:LONGEST_WORDS]}
            fault = {"row": n_row, "field": None, "message": words}
            raise Conflict(words, errors=[fault]) from error
        except ScoringUnavailable as error:
            raise _away(error) from error

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
    """Fetch, verify, load, and test on stored rows. Nothing that serves is touched.

    Raises Conflict or NotFound when the model is refused, Unavailable when that may go better later.
    """
    try:
        spec = read_spec(ref.spec_json)
        sample = self_test.sample(files.reference(ref), spec)
        served = Served(ref, spec, _scorer(ref, spec, files, folder), sample.inputs)
    except (SpecError, ScorerError, SelfTestError) as error:
        raise Conflict(_cannot(ref, str(error)), service="mlflow") from error
    except ScoringUnavailable as error:
        raise Unavailable(_cannot(ref, str(error)), service="runner") from error
    if sample.refused:  # the gate lets no new one pass; one that serves goes on
        log.warning("serving.reference_refused", model=ref.model, version=ref.version, reason=sample.refused)
    try:
        self_test.check(served.scorer.predict, spec, sample)
    except (SelfTestError, ModelFailure) as error:
        served.stop()
        raise Conflict(_cannot(ref, str(error))) from error
    except ScoringUnavailable as error:
        served.stop()
        raise Unavailable(_cannot(ref, str(error)), service="runner") from error
    except BaseException:
        served.stop()
        raise
    return served


def _scorer(ref: ChampionRef, spec: Spec, files: ModelFiles, folder: Path) -> Scorer | OriginalScorer:
    if ref.serve_as == "runner":
        return OriginalScorer(files.model_folder(ref), spec, run_folder(folder, ref.sha256), ref.missing_as)
    return Scorer.from_onnx(files.onnx(ref), spec)


def _refused(failing: _Failing, error: Exception) -> InvalidRequest:
    """What a model does not bear it bears no better later. failing: without rows when none fails alone."""
    message = _failure(error)
    faults = [{"row": row, "field": None, "message": _failure(why)} for row, why in failing.rows]
    if not faults:
        faults.append({"row": None, "field": None, "message": message})
    if not failing.is_all:
        more = _("There may be more rows that the model fails on.")
        faults.append({"row": None, "field": None, "message": more})
    return InvalidRequest(message, errors=faults)


def _failure(error: Exception) -> str:
    return _("The model fails on these values: %(error)s") % {"error": str(error)[:LONGEST_WORDS]}


def _away(error: ScoringUnavailable) -> Unavailable:
    """A child that is away comes back, and so does memory."""
    return Unavailable(str(error), service="runner", retry_after_s=2)


def _cannot(ref: ChampionRef, why: str) -> str:
    return _("%(model)s v%(version)s cannot be served: %(why)s.") % {
        "model": ref.model,
        "version": ref.version,
        "why": why.rstrip("."),
    }
