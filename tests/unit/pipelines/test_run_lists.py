"""Lists of runs and of pipelines, narrowed and ordered: the same on pages and over REST."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from airflow_client.client.models.dag_run_type import DagRunType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.access.reader import ZONE_COOKIE
from pipelines import run_list
from pipelines.models import Run
from tests.pipeline_rows import STARTED, make_backfill, make_pipeline, make_run

pytestmark = pytest.mark.django_db
DAG = "etl"
PAGES, REST = ("/runs", f"/pipelines/{DAG}/runs"), ("/api/v1/runs", f"/api/v1/pipelines/{DAG}/runs")
DAY = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)  # half past eleven in the evening in Madrid


def took(seconds):
    return {"started_at": STARTED, "ended_at": STARTED + timedelta(seconds=seconds)}


@pytest.fixture
def some(page, scientist, viewer):
    """Runs by their short names; `page` is signed in as the scientist, ana."""
    make_pipeline(DAG)
    made = {
        "mine": {
            "state": "failed",
            "requested_by": scientist,
            "note": "Größe",
            "run_type": "manual",
            **took(5),
        },
        "vics": {"requested_by": viewer, "triggered_by": "vic", "run_type": "manual", **took(90)},
        "theirs": {"triggered_by": "Vic", "run_type": "asset_triggered", **took(40)},
        "timed": {"triggered_by": "timetable", "run_type": "scheduled", "state": "running"},
    }
    times = {"created_at": DAY}
    for n, (name, values) in enumerate(made.items()):
        times["created_at"] = DAY + timedelta(hours=2 * n)
        times["logical_date"] = None if name == "theirs" else DAY - timedelta(days=n)
        make_run(DAG, **{"dag_run_id": name, **times, **values})
    return page


def names(page, url, query, **headers):
    answer = page.get(f"{url}?{query}", **headers)
    assert answer.status_code == 200, answer.content
    if url in REST:
        return [row["dag_run_id"] for row in answer.json()["results"]]
    return [run.dag_run_id for run in answer.context["page"]["rows"]]


QUERIES = {
    "": ["timed", "theirs", "vics", "mine"],
    "state=failed": ["mine"],
    "q=gr%C3%B6%C3%9Fe": ["mine"],
    "q=VIC": ["theirs", "vics"],
    "type=manual": ["vics", "mine"],
    "type=asset_triggered": ["theirs"],
    "by=me": ["mine"],
    "by=me&state=success": [],
    "unmended=1": [],
    "unmended=": ["timed", "theirs", "vics", "mine"],
    "by=vic": ["theirs", "vics"],
    "by=nobody": [],
    "order=created": ["mine", "vics", "theirs", "timed"],
    "order=duration": ["mine", "theirs", "vics", "timed"],
    "order=-duration": ["vics", "theirs", "mine", "timed"],
    "order=logical": ["timed", "vics", "mine", "theirs"],
    "order=-logical": ["mine", "vics", "timed", "theirs"],
    "logical_since=2026-02-28": ["vics", "mine"],
    "logical_until=2026-02-27": ["timed"],
    "logical_since=2026-02-28T00:00:00Z&logical_until=2026-03-01T00:00:00Z": ["vics"],
    "since=2026-03-02": ["timed", "theirs", "vics"],
    "until=2026-03-01": ["mine"],
    "since=2026-03-02T02:00:00Z&until=2026-03-02T04:30:00Z": ["theirs"],
}


@pytest.mark.parametrize("url", [*PAGES, *REST])
def test_a_list_of_runs_is_narrowed_and_ordered(some, url):
    assert {query: names(some, url, query) for query in QUERIES} == QUERIES


def test_a_run_is_found_by_its_number(some):
    run = Run.objects.get(dag_run_id="vics")
    assert "vics" in names(some, PAGES[0], f"q=%23{run.pk}")


@pytest.mark.parametrize("url", PAGES)
def test_a_day_is_one_of_the_readers_zone(some, url):
    some.cookies[ZONE_COOKIE] = "Asia/Tokyo"  # where it was the morning of the second
    assert names(some, url, "until=2026-03-01") == []
    assert names(some, url, "since=2026-03-02&until=2026-03-02") == ["timed", "theirs", "vics", "mine"]


def test_the_order_by_duration_goes_on_over_pages(some):
    for n in range(4):
        make_run(DAG, dag_run_id=f"same{n}", **took(40))
    seen, url = [], f"{REST[0]}?order=-duration&limit=2"
    while url:
        answer = some.get(url).json()
        seen += [row["dag_run_id"] for row in answer["results"]]
        url = answer["next"]
    assert seen == ["vics", "same3", "same2", "same1", "same0", "theirs", "mine", "timed"]


@pytest.mark.parametrize(
    ("order", "index"),
    [
        ("duration", "runs_shortest"),
        ("-duration", "runs_longest"),
        ("logical", "runs_by_date"),
        ("-logical", "runs_by_date_falling"),
    ],
)
def test_an_order_is_that_of_an_index(db, order, index):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    plan = run_list.narrowed(run_list.Wanted(order=order))[:50].explain()
    assert f"Index Scan using {index}" in plan
    assert "Sort" not in plan


FAULTS = {
    "state": "frozen",
    "type": "own",
    "since": "soon",
    "until": "9999-99-99",
    "logical_since": "soon",
    "logical_until": "9999-99-99",
    "unmended": "no",
    "order": "size",
}


@pytest.mark.parametrize("field", FAULTS)
def test_what_makes_no_sense_is_said_at_its_name(some, field):
    query = f"{field}={FAULTS[field]}"
    for url in REST:
        answer = some.get(f"{url}?{query}")
        assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, [field])
    for url in PAGES:
        answer = some.get(f"{url}?{query}")
        assert (answer.status_code, "Correct the following" in answer.text) == (422, True)
        fragment = some.get(f"{url}?{query}", headers={"HX-Request": "true"})
        assert (fragment.status_code, "Correct the following" in fragment.text) == (200, True)


def test_a_wrong_word_is_told_the_right_ones(some):
    words = some.get(f"{REST[0]}?state=frozen").json()["errors"][0]["message"]
    assert words.startswith("“frozen” is none of these: requested, refused, queued, running, success")


def test_every_kind_of_run_of_airflow_can_be_asked_for():
    assert set(run_list.TYPES) == {kind.value for kind in DagRunType}


@pytest.mark.parametrize("url", PAGES)
def test_the_filters_are_a_plain_form_that_keeps_what_was_asked(some, url):
    query = "q=x&state=failed&type=manual&by=vic&since=2026-03-01&until=2026-03-02&order=-duration"
    query += "&logical_since=2026-02-27&logical_until=2026-02-28"
    text = some.get(f"{url}?{query}").text
    form = re.search(r'<form\s+class="filters"\s+method="get".*?</form>', text, re.DOTALL)[0]
    assert re.findall(r'<option value="([^"]+)" selected', form) == ["failed", "manual"]
    assert "<option selected>vic</option>" in form
    boxes = {"q": "x", "since": "2026-03-01", "until": "2026-03-02", "order": "-duration"}
    boxes |= {"logical_since": "2026-02-27", "logical_until": "2026-02-28"}
    for name, value in boxes.items():
        assert re.search(rf'<input[^>]*name="{name}"[^>]*value="{value}"', form), name
    assert "<button" in form
    assert f'href="{url}"' in form
    assert "No run fits" in text


def test_a_list_of_the_runs_of_a_backfill_stays_one_while_it_is_narrowed(some):
    row = make_backfill()
    make_run(backfill=row, state="failed", run_type="backfill")
    assert f'href="/runs?backfill={row.pk}"' in some.get(f"/backfills/{row.pk}").text
    text = some.get(f"/runs?backfill={row.pk}").text
    assert re.search(rf'<input[^>]*name="backfill"[^>]*value="{row.pk}"', text)
    assert 'name="backfill"' not in some.get("/runs").text


@pytest.mark.parametrize("url", [*PAGES, *REST])
def test_filters_cost_no_more_queries_for_more_runs(some, url, scientist):
    def cost():
        with CaptureQueriesContext(connection) as asked:
            names(some, url, "q=a&type=manual&by=me&since=2026-01-01&order=-duration")
        return len(asked)

    cost()  # what a process asks once
    few = cost()
    for n in range(20):
        make_run(DAG, dag_run_id=f"a{n}", run_type="manual", requested_by=scientist)
    assert cost() <= few


# --- pipelines


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("-name", ["c", "b", "a"]),
        ("last", ["b", "a", "c"]),
        ("-last", ["a", "b", "c"]),
        ("next", ["c", "a", "b"]),
        ("state", ["b", "a", "c"]),
    ],
)
def test_pipelines_over_rest_have_the_order_of_the_page(page, order, expected):
    for name, at in [("a", 2), ("b", None), ("c", 1)]:
        make_pipeline(name, next_run_at=at and STARTED + timedelta(days=at))
    make_run("a", created_at=STARTED + timedelta(hours=1))
    make_run("b", state="failed", created_at=STARTED)
    seen, url = [], f"/api/v1/pipelines?limit=1&order={order}"
    while url:
        answer = page.get(url).json()
        seen += [row["dag_id"] for row in answer["results"]]
        url = answer["next"]
    shown = page.get(f"/pipelines?order={order}").context["page"]["rows"]
    assert seen == [row.pipeline.dag_id for row in shown] == expected


@pytest.mark.parametrize("query", ["order=size", "show=all", "last=odd"])
def test_a_word_that_no_list_of_pipelines_knows_is_refused(page, query):
    answer = page.get(f"/api/v1/pipelines?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


def test_a_partition_is_found_and_shown_where_there_is_no_date(page):
    make_pipeline(DAG)
    us, eu = (
        make_run(DAG, dag_run_id=f"asset_triggered__{n}", partition_key=key)
        for n, key in enumerate(["us", "eu"])
    )
    dated = make_run(DAG, dag_run_id="scheduled__1", partition_key="day 1", logical_date=DAY)
    for url in REST:
        assert [one["id"] for one in page.get(f"{url}?q=US").json()["results"]] == [us.pk]
    for url in PAGES:
        text = page.get(f"{url}?q=us").text
        assert ">us</span>" in text
        assert f'id="run-{eu.pk}"' not in text
    assert ">day 1</span>" in page.get("/runs?q=day&order=logical").text
    grid = page.get(f"/pipelines/{DAG}").text
    assert 'aria-label="partition us, ' in grid
    assert 'aria-label="partition day 1, logical date ' in grid
    assert dated.partition_key in grid
