"""Failed runs until they are made good: whose they are, and what makes each kind of run good."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pipelines import queries, run_list
from tests.pipeline_rows import STARTED, make_backfill, make_run

pytestmark = pytest.mark.django_db
DAG = "etl"
DAY = timedelta(days=1)


def failed(**values):
    return make_run(DAG, "failed", **{"created_at": STARTED, **values})


def succeeded(**values):
    made_at = values.pop("created_at", STARTED + timedelta(hours=1))
    return make_run(DAG, "success", **{"created_at": made_at, "ended_at": made_at, **values})


def unmended():
    return [run.pk for run in queries.runs(run_list.Wanted(is_unmended=True))]


def test_failures_of_my_backfill_and_of_what_i_began_in_airflow_are_mine(page, scientist):
    backfill = make_backfill(DAG, requested_by=scientist)
    of_backfill = failed(
        run_type="backfill", backfill=backfill, triggered_by="ana", logical_date=STARTED, dag_run_id="b"
    )
    by_hand = failed(run_type="manual", triggered_by="ana", requested_by=None, dag_run_id="h")
    failed(run_type="scheduled", triggered_by="timetable", logical_date=STARTED + DAY, dag_run_id="s")
    assert {run.pk for run in queries.own_failures(scientist)} == {of_backfill.pk, by_hand.pk}
    found = page.get("/api/v1/runs?by=me&unmended=1").json()["results"]
    assert {one["id"] for one in found} == {of_backfill.pk, by_hand.pk}


def test_what_another_asked_for_is_not_mine_whatever_airflow_calls_them(scientist, viewer):
    failed(run_type="manual", triggered_by="ana", requested_by=viewer)
    assert not queries.own_failures(scientist)


@pytest.mark.parametrize("kind", ["scheduled", "backfill"])
def test_a_run_of_a_date_is_made_good_by_itself_alone(kind):
    run = failed(run_type=kind, logical_date=STARTED)
    succeeded(run_type=kind, logical_date=STARTED + DAY)
    succeeded(run_type="manual", logical_date=STARTED + timedelta(hours=1))
    assert unmended() == [run.pk]
    run.state = "success"  # it was run again: Airflow has no other of that date
    run.save()
    assert unmended() == []


@pytest.mark.parametrize("kind", ["scheduled", "backfill", "manual"])
def test_a_partition_is_made_good_by_that_partition_alone(kind):
    run = failed(run_type=kind, partition_key="2026-03-01")
    succeeded(run_type=kind, partition_key="2026-03-02")
    assert unmended() == [run.pk]
    succeeded(run_type="backfill", partition_key="2026-03-01")
    assert unmended() == []


@pytest.mark.parametrize("kind", ["manual", "asset_triggered", "operator_triggered", ""])
def test_other_runs_are_made_good_by_a_later_success_of_the_pipeline(kind):
    run = failed(run_type=kind, logical_date=STARTED)
    assert unmended() == [run.pk]
    succeeded(created_at=STARTED - timedelta(hours=1))
    assert unmended() == [run.pk]
    succeeded(run_type="scheduled", logical_date=STARTED + DAY)
    assert unmended() == []


def test_a_success_that_ended_before_the_failure_makes_nothing_good():
    """The run hung while others came and went, or was run again."""
    hung = failed(ended_at=STARTED + timedelta(hours=3))
    succeeded(created_at=STARTED + timedelta(hours=1))
    assert unmended() == [hung.pk]
    succeeded(created_at=STARTED - DAY, ended_at=STARTED + timedelta(hours=4))
    assert unmended() == []


def test_a_success_whose_end_is_yet_to_come_makes_nothing_good():
    """Airflow's clock was wrong once: that hides no failure for a year."""
    run = failed()
    succeeded(created_at=STARTED - DAY, ended_at=timezone.now() + 400 * DAY)
    assert unmended() == [run.pk]
