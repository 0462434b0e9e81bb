"""Rows of different calls that came in the same turn of the event loop, scored in one run of the model.

A run costs much the same for one row and for ten, so a busy process gives more answers; a lone call waits for
nobody. Trees answer bit by bit what they answer alone, other models to the accuracy of float32.
"""

import asyncio
from collections.abc import Callable, Sequence

from scoring.check import Row
from scoring.score import Scores

Score = Callable[[Sequence[Row]], Scores]
_Waiting = list[tuple[Row, asyncio.Future[Scores]]]


class Together:
    """Collects single rows; each event loop has a batch of its own."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: dict[asyncio.AbstractEventLoop, _Waiting] = {}

    def score(self, row: Row) -> asyncio.Future[Scores]:
        """Scores of this row alone, once this turn of the loop is over."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = []
            loop.call_soon(self._run, loop)
        answer: asyncio.Future[Scores] = loop.create_future()
        waiting.append((row, answer))
        return answer

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._score_all(self._waiting.pop(loop))

    def _score_all(self, waiting: _Waiting) -> None:
        try:
            found = self._score([row for row, _answer in waiting])
            answers = [
                Scores([value], [label], [shares]) for value, label, shares in zip(*found, strict=True)
            ]
            if len(answers) != len(waiting):
                raise ValueError(f"{len(answers)} answers for {len(waiting)} rows")
        except Exception as error:  # noqa: BLE001  (models raise what they like; the caller is told, we go on)
            if len(waiting) == 1:
                _settle(waiting[0][1], error)
            else:
                for one in waiting:  # nobody pays for another's row
                    self._score_all([one])
            return
        for (_row, answer), scores in zip(waiting, answers, strict=True):
            _settle(answer, scores)


def _settle(answer: asyncio.Future[Scores], outcome: Scores | Exception) -> None:
    """Unless the caller has gone meanwhile."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
