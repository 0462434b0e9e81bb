"""Metrics that are counted in memory first."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from core.lib.tallies import TalliedCounter, TalliedHistogram


def shown(registry, name):
    """Samples of a metric but for the moment it was made."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if line.startswith(name) and "_created" not in line]


def test_a_tallied_histogram_says_what_an_ordinary_one_says():
    registries = CollectorRegistry(), CollectorRegistry()
    tallied = TalliedHistogram("h_seconds", "-", buckets=(0.1, 1), registry=registries[0])
    ordinary = Histogram("h_seconds", "-", buckets=(0.1, 1), registry=registries[1])
    for seconds in (0.05, 0.1, 0.5, 0.5, 7):
        tallied.observe(seconds)
        ordinary.observe(seconds)
    tallied.flush()
    assert shown(registries[0], "h_seconds") == shown(registries[1], "h_seconds")


def test_nothing_is_counted_twice_when_written_again():
    registry = CollectorRegistry()
    calls = TalliedCounter("calls", "-", ["status"], registry=registry)
    calls.labels("200").inc()
    calls.labels("200").inc(2)
    assert shown(registry, "calls_total") == ['calls_total{status="200"} 0.0']
    for _ in range(2):
        calls.labels("200").flush()
    assert shown(registry, "calls_total") == ['calls_total{status="200"} 3.0']
