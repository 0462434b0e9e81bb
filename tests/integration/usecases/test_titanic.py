"""Titanic on real servers: the list into SQL and the feature store, a model from there, an outlier."""

import pytest

from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def test_journey_from_the_list_to_an_outlier(stack: RunningStack):
    table = stack.manage(
        "run_usecase", "titanic", "--small", timeout_s=800
    )  # fails unless its exit status is 0
    figures = dict(line.split("  ", 1) for line in table.splitlines() if "  " in line)
    assert "success" in figures["titanic_etl"]
    assert "success" in figures["titanic_training"]
    assert "features version 1" in figures["trained on"]
    assert "baseline" in figures["hold-out accuracy"]
    assert "an outlier: outside the range seen in training" in figures["outlier"]
    counted = "SELECT count(*), count(DISTINCT key) FROM clean_row WHERE usecase = 'titanic'"
    asked = stack.command("psql", "--database", "usecases", "--", "--tuples-only", "--command", counted)
    n_rows, n_keys = map(int, asked.stdout.replace("|", " ").split())
    assert n_rows == n_keys > 100
