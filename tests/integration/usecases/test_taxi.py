"""Taxi on real servers: a month through three Spark jobs, a model of tips, trips through the stream."""

import pytest

from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def test_journey_from_a_month_to_tips(stack: RunningStack):
    table = stack.manage("run_usecase", "taxi", "--small")  # fails unless its exit status is 0
    figures = dict(line.split("  ", 1) for line in table.splitlines() if "  " in line)
    assert "success" in figures["taxi_batch"]
    assert "success" in figures["taxi_training"]
    assert "mean tip" in figures["hold-out mae ($)"]
    assert {"clean_trips", "trip_clusters", "trip_analyses"} <= figures.keys()
    assert "more in windows and dead letters" in figures["trips streamed"]
