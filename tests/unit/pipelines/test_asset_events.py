"""When assets changed: what made it, and what it began."""

from datetime import UTC, datetime, timedelta

import pytest

from core.lib import poll
from core.lib.models import SetAside
from pipelines import answers, asset_answers, asset_events, sync
from pipelines.models import Asset, AssetEvent
from tests.pipeline_rows import make_run

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(number=1, **values):
    return {
        "id": number,
        "asset_id": 5,
        "timestamp": AT.isoformat(),
        "source_dag_id": "maker",
        "source_run_id": "r1",
        "source_task_id": "make",
        "source_map_index": -1,
        "extra": {"rows": 7},
        "created_dagruns": [{"dag_id": "taker", "run_id": "r2", "triggering": True}],
        **values,
    }


@pytest.fixture
def asset(db, airflow):
    return Asset.objects.create(airflow_id=5, name="raw", uri="s3://raw")


def found(airflow, *items):
    airflow.found_events = answers.read(list(items), asset_answers.asset_event, asset_answers.event_key)
    sync.sync_asset_events()


def test_an_event_shows_what_made_it_and_what_it_began(asset, page, airflow):
    maker = make_run("maker", dag_run_id="r1")
    taker = make_run("taker", dag_run_id="r2", state="running")
    found(airflow, event())
    text = page.get(f"/assets/{asset.pk}").content.decode()
    assert f'href="/runs/{maker.pk}?task=make' in text
    assert f'href="/runs/{taker.pk}"' in text
    assert "rows=7" in text
    [row] = page.get(f"/api/v1/assets/{asset.pk}/events").json()["results"]
    assert (row["run_id"], row["began"][0]["run_id"], row["extra"]) == (maker.pk, taker.pk, {"rows": 7})
    assert page.get(f"/api/v1/assets/{asset.pk}").json()["name"] == "raw"
    assert page.get("/api/v1/assets/999/events").status_code == 404


def test_a_run_that_begins_later_is_added(asset, airflow, django_assert_max_num_queries):
    found(airflow, event(created_dagruns=[]))
    found(airflow, event())
    assert AssetEvent.objects.get().began == [{"dag_id": "taker", "dag_run_id": "r2", "triggering": True}]
    with django_assert_max_num_queries(9):
        found(airflow, event())


def at(seconds):
    return (AT + timedelta(seconds=seconds)).isoformat()


def test_after_a_long_stop_each_round_takes_so_many_the_oldest_first(asset, airflow, monkeypatch):
    monkeypatch.setattr(asset_events, "AT_ONCE", 2)
    found(airflow, event(1))
    later = [event(number, timestamp=at(3600 * number)) for number in range(2, 7)]
    for n_there in (3, 5, 6):
        found(airflow, event(1), *later)
        assert sorted(AssetEvent.objects.values_list("airflow_id", flat=True)) == list(range(1, n_there + 1))


def test_many_at_one_time_are_passed_in_the_end(asset, airflow, monkeypatch):
    monkeypatch.setattr(asset_events, "AT_ONCE", 2)
    found(airflow, event(1))
    for _round in range(3):
        found(airflow, *(event(number) for number in range(1, 6)), event(6, timestamp=at(60)))
    assert AssetEvent.objects.count() == 6


def test_what_began_within_the_hour_is_looked_at_once_a_minute(asset, airflow, monkeypatch):
    late, newest = event(1, created_dagruns=[]), event(2, timestamp=at(600))
    found(airflow, late, newest)
    found(airflow, event(1), newest)
    assert AssetEvent.objects.get(airflow_id=1).began == []
    sync.sync_asset_events_again()
    assert AssetEvent.objects.get(airflow_id=1).began != []
    monkeypatch.setattr(asset_events, "MOST_AGAIN", 1)
    assert asset_events.to_read_again()[0] == AT + timedelta(seconds=600)
    assert poll.POLLS["pipelines.sync.sync_asset_events_again"].every_s == 60


def test_without_events_nothing_is_looked_at_again(asset, airflow):
    sync.sync_asset_events_again()
    assert airflow.calls == []


def test_one_that_somebody_made_over_rest_and_whose_runs_are_not_here(asset, page, airflow):
    found(airflow, event(source_dag_id=None, source_run_id=None, source_task_id=None))
    text = page.get(f"/assets/{asset.pk}").content.decode()
    assert "somebody over REST" in text
    assert "taker" in text


def test_an_odd_event_stops_no_other(asset, airflow):
    found(airflow, event(1, timestamp="soon"), event(2))
    assert AssetEvent.objects.get().airflow_id == 2
    assert SetAside.objects.get().key == "event 1"


def test_an_asset_without_events_says_so(asset, page):
    assert "It has not changed yet" in page.get(f"/assets/{asset.pk}").content.decode()
    assert page.get("/assets/999").status_code == 404


def test_a_page_of_events_takes_few_queries(asset, page, airflow, django_assert_max_num_queries):
    found(airflow, *(event(number) for number in range(1, 40)))
    with django_assert_max_num_queries(15):
        page.get(f"/assets/{asset.pk}")
