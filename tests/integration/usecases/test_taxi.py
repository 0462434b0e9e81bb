"""Taxi on real servers: a month through three Spark jobs, a model of tips, trips through the stream."""

from collections.abc import Callable


def test_journey_from_a_month_to_tips(journey: Callable[[str], str]):
    table = journey("taxi")
    figures = dict(line.split("  ", 1) for line in table.splitlines() if "  " in line)
    assert "success" in figures["taxi_batch"]
    assert "success" in figures["taxi_training"]
    assert "mean tip" in figures["hold-out mae ($)"]
    assert {"clean_trips", "trip_clusters", "trip_analyses"} <= figures.keys()
    assert "more in windows and dead letters" in figures["trips streamed"]
