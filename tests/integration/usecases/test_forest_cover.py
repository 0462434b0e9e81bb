"""Forest cover on real servers: batches over HTTP, a waiting that holds no slot, a model, an answer."""

import pytest

from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def test_journey_from_batches_to_answers(stack: RunningStack):
    table = stack.manage(
        "run_usecase", "forest_cover", "--small", timeout_s=800
    )  # fails unless its exit status is 0
    figures = dict(line.split("  ", 1) for line in table.splitlines() if "  " in line)
    assert "success" in figures["forest_cover_load"]
    assert "success" in figures["forest_cover_training"]
    assert "baseline" in figures["hold-out accuracy"]
    assert figures["decision"].split()[0] in ("goes", "stays")
    columns = "SELECT count(*), count(DISTINCT row_sha256) FROM raw_row WHERE usecase = 'forest_cover'"
    asked = stack.command("psql", "--database", "usecases", "--", "--tuples-only", "--command", columns)
    n_rows, n_distinct = map(int, asked.stdout.replace("|", " ").split())
    assert n_rows == n_distinct > 0
