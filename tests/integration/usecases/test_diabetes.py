"""Readmission of diabetics on real servers: rows once, two batches, a champion that answers."""

import pytest

from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def test_journey_from_the_archive_to_a_champion(stack: RunningStack):
    table = stack.manage(
        "run_usecase", "diabetes", "--small", timeout_s=800
    )  # fails unless its exit status is 0
    figures = dict(line.split("  ", 1) for line in table.splitlines() if "  " in line)
    assert "synthetic: train 1,400, validation 300, test 300" in figures["rows"]
    assert "Batch 2 brings 700 rows; 1,400 are taken with it." in table
    assert "majority" in figures["hold-out accuracy of v1"]
    counted = "SELECT count(*), count(DISTINCT key) FROM clean_row WHERE usecase = 'diabetes'"
    asked = stack.command("psql", "--database", "usecases", "--", "--tuples-only", "--command", counted)
    assert asked.stdout.replace("|", " ").split() == ["2000", "2000"]
