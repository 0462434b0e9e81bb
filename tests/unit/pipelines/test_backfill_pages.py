"""Pages and REST of backfills: the form with its preview, the lists, one of them."""

import json
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from pipelines.backfill_answers import WantedRun
from pipelines.backfill_models import Backfill
from pipelines.models import Pipeline
from tests.pipeline_rows import make_backfill, make_pipeline, make_run

DAG = "titanic_training"
URL = f"/pipelines/{DAG}/backfills"
API = f"/api/v1/pipelines/{DAG}/backfills"
DATES = {"from_date": "2026-03-01T00:00:00", "to_date": "2026-03-03T00:00:00"}
FORM = {**DATES, "reprocess_behavior": "none", "max_active_runs": "5", "conf": "", "reason": "late data"}


@pytest.fixture
def pipeline(db, airflow):
    airflow.add_dag(DAG, is_daily=True)
    return make_pipeline(is_backfillable=True, schedule="0 0 * * *", timezone="UTC", param_list=[])


def rest(page, method, url, **body):
    answer = getattr(page, method)(url, body, content_type="application/json")
    return answer.status_code, json.loads(answer.content)


def test_the_form_shows_what_would_run_and_then_starts_it(pipeline, page, airflow):
    shown = page.post(URL, FORM)
    assert "3 runs would be made" in shown.content.decode()
    assert not Backfill.objects.exists()
    started = page.post(URL, {**FORM, "confirm": "1", "previewed": shown.context["form"].digest()})
    row = Backfill.objects.get()
    assert (started.status_code, started["Location"]) == (302, f"/backfills/{row.pk}")
    assert (row.max_active_runs, row.reason, row.conf) == (5, "late data", {})


def test_other_values_than_those_shown_are_shown_first(pipeline, page):
    digest = page.post(URL, FORM).context["form"].digest()
    other = {**FORM, "to_date": "2026-03-09T00:00:00", "confirm": "1", "previewed": digest}
    assert "9 runs would be made" in page.post(URL, other).content.decode()
    assert not Backfill.objects.exists()


def test_faults_stand_at_their_fields_with_what_was_typed(pipeline, page):
    wrong = {**FORM, "from_date": "2026-03-09T00:00:00", "conf": "[1]"}
    answer = page.post(URL, wrong)
    assert answer.status_code == 422
    assert answer.context["form"].errors == {"conf": ["Write a JSON object, in braces."]}
    answer = page.post(URL, {**wrong, "conf": ""})
    assert answer.context["form"].errors == {"to_date": ["This is before the first date. Swap the two."]}
    assert "late data" in answer.content.decode()


def test_a_time_that_the_clocks_skip_is_refused(pipeline, page, scientist):
    scientist.time_zone = "Europe/Madrid"
    scientist.save()
    answer = page.post(URL, {**FORM, "from_date": "2026-03-29T02:30:00", "to_date": "2026-03-30T00:00:00"})
    assert answer.status_code == 422
    assert "put forward" in str(answer.context["form"].errors["from_date"])


def test_without_airflow_one_may_ask_all_the_same(pipeline, page, airflow):
    airflow.is_away = True
    shown = page.post(URL, FORM)
    assert "cannot be told now" in shown.content.decode()
    page.post(URL, {**FORM, "confirm": "1", "previewed": shown.context["form"].digest()})
    assert Backfill.objects.get().state == "requested"


def test_a_pipeline_without_dates_says_so_and_has_no_form(page, airflow):
    make_pipeline()
    text = page.get(URL).content.decode()
    assert "no schedule with past dates" in text
    assert "backfill-form" not in text
    assert page.post(URL, FORM).status_code == 422


def test_a_paused_pipeline_says_that_runs_wait(pipeline, page):
    pipeline.is_paused = True
    pipeline.save()
    assert "keeps them queued" in page.post(URL, FORM).content.decode()
    row = make_backfill()
    assert "The pipeline is paused" in page.get(f"/backfills/{row.pk}").content.decode()
    pipeline.wanted_is_paused, pipeline.next_attempt_at = (
        False,
        timezone.now(),
    )  # somebody resumed it just now
    pipeline.save()
    assert "The pipeline is paused" not in page.get(f"/backfills/{row.pk}").content.decode()


def test_a_viewer_sees_and_cannot_start(pipeline, client, viewer):
    client.force_login(viewer)
    row = make_backfill()
    assert "backfill-form" not in client.get(URL).content.decode()
    assert client.post(URL, FORM).status_code == 403
    assert "cancel-dialog" not in client.get(f"/backfills/{row.pk}").content.decode()


def test_the_pages_of_a_backfill(pipeline, page, django_assert_max_num_queries):
    row = make_backfill(reason="late data", conf={"items": [1]})
    for state in ("success", "failed", "running"):
        make_run(backfill=row, state=state, run_type="backfill")
    text = page.get(f"/backfills/{row.pk}").content.decode()
    assert all(words in text for words in ("2 of 3", "late data", "items=[1]", "Pause", "Cancel backfill"))
    assert "2 of 3" in page.get("/backfills?state=open").content.decode()
    assert "No backfill fits" in page.get("/backfills?state=paused").content.decode()
    fragment = page.get(f"/backfills/{row.pk}", headers={"HX-Request": "true"}).content.decode()
    assert "backfill-actions" in fragment
    assert "<html" not in fragment
    assert f"of backfill {row.pk}" in page.get(f"/runs/{row.runs.first().pk}").content.decode()
    [make_backfill() for _ in range(20)]
    with django_assert_max_num_queries(20):
        page.get("/backfills")


def test_buttons_ask_and_go_back_to_the_page(pipeline, page):
    row = make_backfill()
    assert page.post(f"/backfills/{row.pk}/pause")["Location"] == f"/backfills/{row.pk}"
    assert page.post(f"/backfills/{row.pk}/cancel").status_code == 302
    assert Backfill.objects.get().wish == "cancel"
    assert page.post(f"/backfills/{row.pk}/unpause").status_code == 409


def test_rest_previews_starts_and_lists(pipeline, page, airflow):
    dates = {"from_date": "2026-03-01T00:00:00Z", "to_date": "2026-03-02T00:00:00Z"}
    status, body = rest(page, "post", f"{API}/preview", **dates)
    assert (status, body["n_runs"], body["refusal"], body["limit"]) == (200, 2, "", 1000)
    first = {"logical_date": "2026-03-01T00:00:00Z", "partition_key": "", "run_id": None, "state": None}
    assert body["results"][0] == first
    status, row = rest(page, "post", API, **dates, reason="late data")
    assert (status, row["state"], row["wish"], row["requested_by"]) == (202, "requested", "start", "ana")
    assert rest(page, "post", API, **dates)[0] == 409
    listed = page.get(API).json()["results"]
    assert [one["id"] for one in listed] == [row["id"]]
    assert page.get("/api/v1/backfills?state=open").json()["results"] == listed
    assert page.get(f"/api/v1/backfills/{row['id']}").json() == listed[0]


def test_rest_pauses_goes_on_and_cancels(pipeline, page):
    row = make_backfill()
    status, body = rest(page, "post", f"/api/v1/backfills/{row.pk}/pause")
    assert (status, body["wish"]) == (202, "pause")
    assert rest(page, "post", f"/api/v1/backfills/{row.pk}/unpause")[0] == 409
    assert rest(page, "post", f"/api/v1/backfills/{row.pk}/cancel")[1]["wish"] == "cancel"
    assert rest(page, "post", "/api/v1/backfills/999/cancel")[0] == 404


def test_rest_tells_faults_by_field(pipeline, page):
    status, body = rest(page, "post", API, from_date="soon", max_active_runs=0)
    fields = {error["field"] for error in body["errors"]}
    assert (status, fields) == (422, {"from_date", "to_date", "max_active_runs"})
    later = {"from_date": "2026-03-05T00:00:00Z", "to_date": "2026-03-02T00:00:00Z"}
    status, body = rest(page, "post", f"{API}/preview", **later)
    assert (status, body["errors"][0]["field"]) == (422, "to_date")


# --- partitioned pipelines: Airflow reads what the dates show by the clock of the schedule's zone


@pytest.fixture
def partitioned(pipeline, airflow):
    airflow.add_dag(DAG, is_daily=True, is_partitioned=True)
    Pipeline.objects.update(is_partitioned=True, timezone="America/New_York")
    return pipeline


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Madrid", "UTC"])
def test_dates_of_partitions_are_sent_as_they_were_typed(partitioned, page, scientist, zone):
    scientist.time_zone = zone
    scientist.save()
    shown = page.post(URL, FORM)
    assert "2026-03-01T00:00" in shown.content.decode()  # the box, as it was typed
    page.post(URL, {**FORM, "confirm": "1", "previewed": shown.context["form"].digest()})
    row = Backfill.objects.get()
    assert row.from_date.isoformat() == "2026-03-01T00:00:00+00:00"
    assert row.to_date.isoformat() == "2026-03-03T00:00:00+00:00"
    text = " ".join(page.get(f"/backfills/{row.pk}").content.decode().split())
    assert "2026-03-01 00:00 – 2026-03-03 00:00 (by its schedule" in text


def test_a_time_that_the_readers_clocks_skip_may_be_one_of_the_schedule(partitioned, page, scientist):
    scientist.time_zone = "Europe/Madrid"
    scientist.save()
    answer = page.post(URL, {**FORM, "from_date": "2026-03-29T02:30:00", "to_date": "2026-03-30T00:00:00"})
    assert answer.status_code == 200


def test_over_rest_too_the_clock_counts_and_not_the_zone(partitioned, page):
    body = {"from_date": "2026-03-01T00:00:00-05:00", "to_date": "2026-03-03T00:00:00"}
    status, _found = rest(page, "post", API, **body)
    assert status == 202
    row = Backfill.objects.get()
    assert (row.from_date.day, row.from_date.hour, row.to_date.day) == (1, 0, 3)


def test_the_preview_names_the_partitions(partitioned, page, monkeypatch):
    at = datetime(2026, 3, 1, 5, tzinfo=UTC)
    runs = [WantedRun(at, "2026-03-01T00:00:00")]
    monkeypatch.setattr("tests.fakes.airflow.FakeAirflow.backfill_dates", lambda *_given: runs)
    text = page.post(URL, FORM).content.decode()
    assert "cell-sub mono" in text
    assert text.count("2026-03-01T00:00:00") == 2  # in the box of the first date, and as the key
    _status, found = rest(page, "post", f"{API}/preview", **DATES)
    assert found["results"][0]["partition_key"] == "2026-03-01T00:00:00"


def test_of_a_partition_a_new_run_is_made_beside_the_old_one(partitioned, page, airflow, monkeypatch):
    """Midnights of New York in the first three days of March: the second has failed, the third is done."""
    first, second, third = (datetime(2026, 3, day, 5, tzinfo=UTC) for day in (1, 2, 3))
    done = {"run_type": "scheduled", "partition_key": "x"}
    failed = make_run(state="failed", partition_date=second, **done)
    make_run(partition_date=third, run_type="manual", partition_key="x")
    make_run(partition_date=datetime(2026, 3, 4, 5, tzinfo=UTC), **done)
    runs = [WantedRun(first, "a"), WantedRun(second, "b")]
    monkeypatch.setattr("tests.fakes.airflow.FakeAirflow.backfill_dates", lambda *_given: runs)
    text = page.post(URL, FORM).content.decode()
    assert f'href="/runs/{failed.pk}"' in text
    assert "runs again" not in text
    assert "1 run stays as it is" in text
    _status, found = rest(page, "post", f"{API}/preview", **DATES)
    assert ([one["run_id"] for one in found["results"]], found["n_kept"]) == ([None, failed.pk], 1)
    Pipeline.objects.update(schedule="odd")  # whose zone nobody tells
    _status, found = rest(page, "post", f"{API}/preview", **DATES)
    assert found["n_kept"] == 0


def test_the_form_of_partitions_promises_nothing_of_runs_made_again(partitioned, page):
    text = page.get(URL).content.decode()
    assert "settings of earlier runs are not taken over" in text
    assert "Newest code" not in text
    Pipeline.objects.update(is_partitioned=False)
    text = page.get(URL).content.decode()
    assert "runs that are made again keep theirs" in text
    assert "Newest code" in text


NEW_YORK_MAR_9_23H = datetime(2026, 3, 10, 3, tzinfo=UTC)  # by summer time there, four hours behind


@pytest.mark.parametrize(
    ("values", "last", "is_fine"),
    [
        ({}, "2026-03-09T23:00:00", True),
        ({}, "2026-03-10T00:00:00", False),  # past in UTC alone
        ({"timezone": "Asia/Tokyo"}, "2026-03-10T12:00:00", True),
        ({"timezone": "Asia/Tokyo"}, "2026-03-10T13:00:00", False),
        ({"schedule": "of a timetable"}, "2026-03-10T17:00:00", True),  # somewhere it is that late
        ({"schedule": "of a timetable"}, "2026-03-10T18:00:00", False),
    ],
)
def test_partitions_that_have_not_come_are_refused(
    partitioned, page, airflow, monkeypatch, values, last, is_fine
):
    """Airflow would make their runs and keep them queued until then."""
    monkeypatch.setattr(timezone, "now", lambda: NEW_YORK_MAR_9_23H)
    airflow.now = NEW_YORK_MAR_9_23H
    Pipeline.objects.update(**values)
    dates = {"from_date": "2026-03-09T00:00:00", "to_date": last}
    status, found = rest(page, "post", f"{API}/preview", **dates)
    assert status == (200 if is_fine else 422)
    assert is_fine or [fault["field"] for fault in found["errors"]] == ["to_date"]
