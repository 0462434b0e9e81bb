"""The dates of a run wherever it is shown, and what made it in words."""

from datetime import timedelta

import pytest

from tests.pipeline_rows import STARTED, make_pipeline, make_run, make_task

pytestmark = pytest.mark.django_db
DAG = "titanic_training"
DATES = {
    "logical_date": STARTED - timedelta(days=40),  # 2026-01-20 12:00
    "data_interval_start": STARTED - timedelta(days=41),
    "data_interval_end": STARTED - timedelta(days=40),
    "run_after": STARTED - timedelta(days=39),
}


@pytest.mark.parametrize("address", ["/runs/{run.pk}", "/pipelines/{run.dag_id}?run={run.pk}"])
def test_the_facts_of_a_run_have_its_dates_and_its_kind_in_words(page, address):
    make_pipeline(DAG)
    run = make_run(DAG, run_type="asset_triggered", ended_at=STARTED + timedelta(hours=2), **DATES)
    text = page.get(address.format(run=run)).text
    for words, at in [
        ("Logical date", "2026-01-20T12:00"),
        ("Data interval", "2026-01-19T12:00"),
        ("Run after", "2026-01-21T12:00"),
        ("Ended", "2026-03-01T14:00"),
    ]:
        assert words in text
        assert f'datetime="{at}' in text
    assert "by an asset" in text
    assert "asset_triggered" not in text


def test_an_interval_that_is_one_moment_is_not_shown(page):
    run = make_run(DAG, logical_date=STARTED, data_interval_start=STARTED, data_interval_end=STARTED)
    text = page.get(f"/runs/{run.pk}").text
    assert "Logical date" in text
    assert "Data interval" not in text


@pytest.mark.parametrize("address", ["/runs", f"/pipelines/{DAG}/runs"])
def test_the_table_of_runs_has_the_logical_date(page, address):
    make_pipeline(DAG)
    make_run(DAG, **DATES)
    text = page.get(address).text
    assert 'datetime="2026-01-20T12:00' in text
    assert "order=logical" in text


def test_the_grid_tells_the_logical_date_of_each_column(page):
    make_pipeline(DAG)
    make_task(make_run(DAG, **DATES))
    text = page.get(f"/pipelines/{DAG}").text
    assert text.count("logical date ") == 2


def test_kinds_that_an_author_allows_are_in_words(page):
    make_pipeline(DAG, allowed_run_types=["scheduled", "backfill"])
    text = page.get(f"/pipelines/{DAG}/trigger").text
    assert "by schedule, by a backfill" in text
    answer = page.post(f"/api/v1/pipelines/{DAG}/runs", {}, content_type="application/json")
    assert answer.status_code == 409
    assert "(by hand): only by schedule, by a backfill" in answer.json()["detail"]
