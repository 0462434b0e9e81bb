"""When assets changed: what made it, and what it began."""

from datetime import UTC, datetime, timedelta

import pytest

from core.lib.models import SetAside
from pipelines import answers, asset_answers, asset_events, sync
from pipelines.airflow_pages import Failed
from pipelines.models import Asset, AssetEvent, Run
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
    with django_assert_max_num_queries(7):
        asset_events.save(airflow.found_events)


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


def taker(**values):
    return make_run("taker", dag_run_id="r2", state="running", run_type="asset_triggered", **values)


def test_a_run_is_asked_once_for_the_events_it_took_however_old(asset, airflow, page):
    """Two assets changed four hours apart; the second change begins the run."""
    old = event(1, created_dagruns=[])
    found(airflow, old, event(2, timestamp=at(4 * 3600), created_dagruns=[]))
    run = taker()
    taken = [
        event(1, created_dagruns=[{"dag_id": "taker", "run_id": "r2", "triggering": False}]),
        event(2, timestamp=at(4 * 3600)),
    ]
    airflow.calls.clear()
    found(airflow, *taken)
    assert [one["triggering"] for one in AssetEvent.objects.get(airflow_id=1).began] == [False]
    results = page.get(f"/api/v1/runs/{run.pk}/asset-events").json()["results"]
    assert [one["event"]["id"] for one in results] == [2, 1]
    found(airflow, *taken)
    assert airflow.calls == ["asset_events", "events_taken", "asset_events"]


def test_a_run_with_events_that_are_still_to_come_is_asked_again(asset, airflow, monkeypatch):
    monkeypatch.setattr(asset_events, "AT_ONCE", 1)
    found(airflow, event(1, created_dagruns=[]))
    run = taker()
    between = event(2, timestamp=at(600), created_dagruns=[])
    for n_there in (2, 3):
        found(airflow, event(1, created_dagruns=[]), between, event(3, timestamp=at(1200)))
        assert AssetEvent.objects.count() == n_there
    run.refresh_from_db()
    assert run.events_read_at is not None


def test_only_a_few_runs_are_asked_for_at_once_and_a_deleted_one_once(asset, airflow, monkeypatch):
    monkeypatch.setattr(asset_events, "RUNS_AT_ONCE", 2)
    found(airflow, event(1, created_dagruns=[]))
    for number in range(3):
        make_run("taker", dag_run_id=f"t{number}", run_type="asset_triggered")
    make_run("taker", dag_run_id="by hand", run_type="manual")
    make_run("taker", dag_run_id="before", run_type="asset_triggered", created_at=AT - timedelta(days=900))
    airflow.calls.clear()
    for _round in range(3):
        found(airflow, event(1, created_dagruns=[]))
    assert airflow.calls.count("events_taken") == 3


def test_a_run_at_whose_events_airflow_fails_keeps_no_other_waiting(asset, airflow, monkeypatch):
    found(airflow, event(1, created_dagruns=[]))
    broken, run = make_run("taker", dag_run_id="broken", run_type="asset_triggered"), taker()
    ask = airflow.events_taken

    def answer(dag_id, dag_run_id):
        if dag_run_id == "broken":
            raise Failed("Airflow could not answer (500).", service="airflow")
        return ask(dag_id, dag_run_id)

    monkeypatch.setattr(airflow, "events_taken", answer)
    found(airflow, event(1))
    broken.refresh_from_db()
    run.refresh_from_db()
    assert (broken.events_read_at, run.events_read_at is None) == (None, False)
    assert SetAside.objects.get().about == broken.key


def test_runs_that_took_an_event_which_cannot_be_stored_keep_no_other_waiting(asset, airflow, monkeypatch):
    monkeypatch.setattr(asset_events, "RUNS_AT_ONCE", 2)
    runs = [{"dag_id": "taker", "run_id": f"t{number}", "triggering": True} for number in range(4)]
    for one in runs:
        make_run("taker", dag_run_id=one["run_id"], run_type="asset_triggered")
    storable = event(1, created_dagruns=runs[:2])
    odd = event(2, timestamp=at(600), extra={"word": "\x00"}, created_dagruns=runs[2:])
    airflow.calls.clear()
    for _round in range(3):
        found(airflow, storable, odd)
    assert not Run.objects.filter(events_read_at=None).exists()
    assert airflow.calls.count("events_taken") == 4
    assert SetAside.objects.get().key == "event 2"


NO_TASK = {"source_dag_id": None, "source_run_id": None, "source_task_id": None}


@pytest.mark.parametrize(
    ("extra", "made_by", "words"),
    [
        ({"from_rest_api": True}, "rest", "somebody over REST"),
        ({"from_trigger": True, "payload": "/tmp/test"}, "watcher", "an asset watcher"),
        ({}, "other", "something other than a task"),
    ],
)
def test_one_that_no_task_made_and_whose_runs_are_not_here(asset, page, airflow, extra, made_by, words):
    found(airflow, event(**NO_TASK, extra=extra))
    text = page.get(f"/assets/{asset.pk}").content.decode()
    assert words in text
    assert "taker" in text
    [row] = page.get(f"/api/v1/assets/{asset.pk}/events").json()["results"]
    assert (row["made_by"], row["dag_id"]) == (made_by, "")


def test_a_task_that_writes_the_marks_of_others_has_made_it_all_the_same(asset, page, airflow):
    found(airflow, event(extra={"from_trigger": True}))
    assert page.get(f"/api/v1/assets/{asset.pk}/events").json()["results"][0]["made_by"] == "task"


def test_partitions_of_an_asset_are_told_apart(asset, page, airflow):
    run = make_run("taker", dag_run_id="r2", run_type="asset_triggered")
    regions = ("us", "eu", "apac")
    found(airflow, *(event(number, partition_key=key) for number, key in enumerate(regions)))
    text = page.get(f"/assets/{asset.pk}").content.decode()
    assert all(f">{key}</span>" in text for key in regions)
    rows = page.get(f"/api/v1/assets/{asset.pk}/events").json()["results"]
    assert sorted(row["partition_key"] for row in rows) == sorted(regions)
    assert all(f">{key}</span>" in page.get(f"/runs/{run.pk}").text for key in regions)


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
