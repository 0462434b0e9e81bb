"""Rows of several calls, scored in one run."""

import asyncio

from predictions.serving.together import Together
from scoring.score import Scores
from tests import champions


class Model:
    """Doubles what it is given, and remembers how many rows came at once."""

    def __init__(self):
        self.sizes = []

    def __call__(self, rows):
        self.sizes.append(len(rows))
        values = [row["x"] * 2 for row in rows]
        return Scores(values, [str(value) for value in values], [None] * len(values))


def test_each_gets_its_own_answer_when_calls_come_together():
    model = Model()

    async def calls():
        together = Together(model)
        return await asyncio.gather(*(together.score({"x": x}) for x in range(5)))

    answers = asyncio.run(calls())
    assert answers == [Scores([x * 2], [str(x * 2)], [None]) for x in range(5)]
    assert model.sizes == [5]


def test_calls_in_different_turns_are_not_kept_waiting_for_each_other():
    model = Model()

    async def calls():
        together = Together(model)
        return [(await together.score({"x": x})).values for x in (1, 2)]

    assert asyncio.run(calls()) == [[2], [4]]
    assert model.sizes == [1, 1]


def test_a_row_that_the_model_cannot_bear_fails_alone():
    async def calls():
        together = Together(Model())
        rows = [{"x": 1}, {"y": 0}, {"x": 3}]
        return await asyncio.gather(*(together.score(row) for row in rows), return_exceptions=True)

    first, second, third = asyncio.run(calls())
    assert (first.values, third.values) == ([2], [6])
    assert isinstance(second, KeyError)


def test_nobody_waits_for_ever_when_the_model_gives_too_few_answers():
    def forgetful(rows):
        return Scores([rows[0]["x"]], [None], [None])

    async def calls():
        together = Together(forgetful)
        return await asyncio.wait_for(asyncio.gather(*(together.score({"x": x}) for x in range(3))), 5)

    assert [answer.values for answer in asyncio.run(calls())] == [[0], [1], [2]]


def test_a_caller_that_has_gone_takes_nobody_along():
    async def calls():
        together = Together(Model())
        gone, stays = together.score({"x": 1}), together.score({"x": 2})
        gone.cancel()
        return await stays

    assert asyncio.run(calls()).values == [4]


def test_a_batch_whose_loop_has_ended_is_not_met_again():
    model = Model()
    together = Together(model)

    async def call():
        return await together.score({"x": 1})

    assert [asyncio.run(call()).values for _ in range(2)] == [[2], [2]]
    assert together._waiting == {}


def test_calls_at_once_get_what_each_gets_alone(running, broker):
    rows = [{**champions.ROW, "Age": 5 * n, "Fare": 3.5 * n} for n in range(17)]

    async def predict(row):
        def decode(served):
            return served.decoder.decode_rows([row])

        answer = await running.engine.predict(
            running.engine.champion("titanic"), decode, champions.grant().caller, source="api"
        )
        return answer.predictions[0]["probabilities"]

    async def at_once():
        return await asyncio.gather(*(predict(row) for row in rows))

    assert asyncio.run(at_once()) == [asyncio.run(predict(row)) for row in rows]
    assert len({record["id"] for record in broker.records}) == 2 * len(rows)
