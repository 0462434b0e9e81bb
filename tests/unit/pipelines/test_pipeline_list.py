"""The list of pipelines: what narrows and orders it, what a row says, and many switches moved at once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.models import SyncState
from pipelines import answers, dag_answers, listing, mirror
from pipelines.models import ImportFault, Pipeline, Run, RunState
from tests.pipeline_rows import make_pipeline, make_run

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def ran(dag_id, *states):
    """The pipeline's runs, oldest first, an hour apart; the newest ends the list."""
    for age, state in enumerate(reversed(states)):
        make_run(dag_id, state, created_at=NOW - timedelta(hours=age), dag_run_id=f"r{age}")


def names(page, query):
    return [row.pipeline.dag_id for row in page.get(f"/pipelines?{query}").context["page"]["rows"]]


@pytest.fixture
def five(db):
    make_pipeline("broken", owners=["ana"], next_run_at=NOW + timedelta(hours=3))
    ran("broken", "success", "failed")
    make_pipeline("fine", owners=["ben"], tags=["x"], next_run_at=NOW + timedelta(hours=1))
    ran("fine", "failed", "success")
    make_pipeline("trying", has_import_errors=True)
    ran("trying", "failed", "running")
    make_pipeline("idle", is_paused=True, next_run_at=NOW)
    make_pipeline("past", gone_at=NOW)
    ran("past", "failed")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("last=failed", ["broken", "trying"]),
        ("last=success", ["fine"]),
        ("last=running", ["trying"]),
        ("last=never", ["idle"]),
        ("owner=ana", ["broken"]),
        ("tag=x&last=failed", []),
        ("show=faulty", ["trying"]),
        ("show=gone&last=failed", ["past"]),
        ("last=nonsense&order=nonsense", ["broken", "fine", "idle", "trying"]),
        ("order=-name", ["trying", "idle", "fine", "broken"]),
        ("order=next", ["fine", "broken", "idle", "trying"]),
        ("order=-next", ["broken", "fine", "idle", "trying"]),
        ("order=state", ["broken", "trying", "fine", "idle"]),
    ],
)
def test_the_list_is_narrowed_and_ordered(page, five, query, expected):
    assert names(page, query) == expected


def test_the_last_run_orders_the_list_and_those_without_one_come_last(page):
    for dag_id, hours in (("a", 5), ("b", 1), ("c", None)):
        make_pipeline(dag_id)
        if hours:
            make_run(dag_id, created_at=NOW - timedelta(hours=hours))
    assert (names(page, "order=last"), names(page, "order=-last")) == (["a", "b", "c"], ["b", "a", "c"])


def test_the_order_stays_in_the_filters_and_a_filter_in_the_order(page, five):
    text = page.get("/pipelines?order=-name&last=failed").content.decode()
    assert '<input type="hidden" name="order" value="-name">' in text
    assert 'href="?order=next&amp;last=failed"' in text
    assert 'aria-sort="descending"' in text


def test_a_row_shows_the_last_fifteen_runs_and_what_is_under_way(page):
    make_pipeline("dag")
    ran("dag", *["success"] * 20, "failed", "queued", "running", "running")
    row = listing.rows(Pipeline.objects.all())[0]
    assert [bar.state for bar in row.strip] == ["success"] * 11 + ["failed", "queued", "running", "running"]
    assert (row.n_running, row.n_queued) == (2, 1)
    text = page.get("/pipelines").content.decode()
    assert "2 running" in text
    assert "1 queued" in text


def test_the_list_costs_the_same_with_five_hundred_pipelines(page, django_assert_max_num_queries):
    Pipeline.objects.bulk_create(
        Pipeline(dag_id=f"dag_{n:03}", display_name=f"dag_{n}", tags=[f"t{n % 40}"], next_attempt_at=None)
        for n in range(500)
    )
    Run.objects.bulk_create(
        Run(
            dag_id=f"dag_{n % 500:03}",
            dag_run_id=f"r{n}",
            state="failed" if n % 7 else "success",
            wish="",
            next_attempt_at=None,
        )
        for n in range(2000)
    )
    page.get("/pipelines")
    for query in ("", "last=failed&order=state", "show=active&order=-last&page=2"):
        with django_assert_max_num_queries(11):
            answer = page.get(f"/pipelines?{query}")
        assert len(answer.context["page"]["rows"]) == 25
    with django_assert_max_num_queries(8):
        page.get("/runs/recent")


def test_the_first_pipeline_is_a_skip_and_a_step_away(page, five):
    text = page.get("/pipelines").content.decode()
    assert text.index('class="skip" href="#first-pipeline"') < text.index('class="shell"')
    assert text.count('id="first-pipeline"') == 1
    assert "#first-pipeline" not in page.get("/pipelines?q=nothing_fits").content.decode()


def test_the_overview_leads_to_what_failed_last(page, five):
    text = page.get("/runs/recent").content.decode()
    assert "2 pipelines failed last" in text
    assert 'href="/pipelines?last=failed"' in text


# --- many switches


def test_the_selected_are_paused_after_one_confirmation_each_on_its_own(page, five, sent):
    chosen = {
        "dag_id": ["broken", "fine", "idle", "past", "nobody"],
        "is_paused": "1",
        "next": "/pipelines?q=i",
    }
    asked = page.post("/pipeline-switches", chosen)
    assert [row.dag_id for row in asked.context["moved"]] == ["broken", "fine"]
    assert [dag_id for dag_id, _why in asked.context["stays"]] == ["idle", "past", "nobody"]
    assert not Pipeline.objects.filter(wanted_is_paused=True).exists()
    done = page.post("/pipeline-switches", {**chosen, "confirm": "1"}, follow=True)
    assert done.redirect_chain[0][0] == "/pipelines?q=i"
    assert set(Pipeline.objects.filter(wanted_is_paused=True).values_list("pk", flat=True)) == {
        "broken",
        "fine",
    }
    told = [str(message) for message in done.context["messages"]]
    assert told[0] == "3 pipelines paused."
    assert [line.partition(":")[0] for line in told[1:]] == ["past", "nobody"]
    assert sorted(AuditEntry.objects.filter(action="pipeline.pause").values_list("object_id", flat=True)) == [
        "broken",
        "fine",
    ]


def test_without_a_selection_nothing_happens(page, five):
    assert page.post("/pipeline-switches", {"is_paused": "1", "next": "//evil.example"}).url == "/pipelines"
    assert not Pipeline.objects.filter(wanted_is_paused=True).exists()


def test_a_viewer_may_select_nothing(client, viewer, five):
    client.force_login(viewer)
    assert 'name="dag_id"' not in client.get("/pipelines").content.decode()
    assert client.post("/pipeline-switches", {"dag_id": "fine", "is_paused": "1"}).status_code == 403


def test_rest_moves_many_switches(page, five):
    body = {"dag_ids": ["fine", "nobody"], "is_paused": True}
    answer = page.post("/api/v1/pipeline-switches", body, content_type="application/json")
    assert answer.status_code == 202
    assert answer.json()["results"][0] == {"dag_id": "fine", "error": ""}
    assert "nobody" in answer.json()["results"][1]["error"]
    assert [row["dag_id"] for row in page.get("/api/v1/pipelines?last=failed").json()["results"]] == [
        "broken",
        "trying",
    ]


# --- files that cannot be read


def fault(number, name="b.py", trace="<oops>", bundle=None):
    item = {"import_error_id": number, "filename": name, "stack_trace": trace, "timestamp": NOW.isoformat()}
    item["bundle_name"] = bundle
    return answers.read([item], dag_answers.import_fault, dag_answers.fault_key)


def test_files_of_one_name_in_two_bundles_are_two_files(page):
    for bundle in ("sales", "stock"):
        make_pipeline(f"{bundle}_etl", file="etl.py", bundle=bundle, has_import_errors=True)
    make_pipeline("of_before", file="etl.py", has_import_errors=True)
    mirror.save_import_faults([*fault(1, "etl.py", bundle="sales"), *fault(2, "etl.py", bundle="stock")])
    found = listing.with_pipelines(list(listing.import_faults()))
    assert [(one.bundle, sorted(dag_ids)) for one, dag_ids in found] == [
        ("sales", ["of_before", "sales_etl"]),
        ("stock", ["of_before", "stock_etl"]),
    ]
    text = page.get(reverse("pipelines:import-fault-list")).content.decode()
    assert "bundle sales" in text
    rows = page.get("/api/v1/import-errors").json()["results"]
    assert {row["bundle"] for row in rows} == {"sales", "stock"}


def test_the_bundle_of_a_pipeline_is_mirrored():
    item = {
        **dict.fromkeys(("description", "timetable_summary", "timetable_description")),
        **{"dag_id": "etl", "dag_display_name": "ETL", "tags": [], "owners": [], "is_paused": False},
        **{"next_dagrun_run_after": None, "has_import_errors": True, "relative_fileloc": "etl.py"},
    }
    for bundle, expected in (("sales", "sales"), ("stock", "stock"), (None, "")):
        mirror.save_dags([dag_answers.dag({**item, "bundle_name": bundle})])
        assert Pipeline.objects.get().bundle == expected


def test_a_long_traceback_keeps_its_end():
    [found] = fault(1, trace="x" * 100_000 + "ZeroDivisionError")
    assert len(found.stack_trace) < 21_000
    assert found.stack_trace.endswith("ZeroDivisionError")


def test_unreadable_files_stand_on_a_page_of_their_own(page):
    SyncState.failed("pipelines.sync.sync_pipelines", "airflow", "Airflow is not answering.")
    make_pipeline("held", file="nightly/b.py", has_import_errors=True)
    odd = answers.read([{"filename": "odd.py"}], dag_answers.import_fault, dag_answers.fault_key)
    mirror.save_import_faults([*odd, *fault(2, "/dags/nightly/b.py"), *fault(3, "/dags/a.py", "SyntaxError")])
    assert ImportFault.objects.count() == 2
    text = page.get(reverse("pipelines:import-fault-list")).content.decode()
    assert text.index("/dags/a.py") < text.index("/dags/nightly/b.py")
    assert "&lt;oops&gt;" in text
    assert 'href="/pipelines/held"' in text
    assert "Airflow is not answering" in text
    assert "Airflow cannot read 2 files" in page.get("/pipelines").content.decode()
    listed = page.get("/api/v1/import-errors").json()["results"]
    assert [row["filename"] for row in listed] == ["/dags/a.py", "/dags/nightly/b.py"]


def test_a_hundred_unreadable_files_cost_the_list_one_line(page):
    mirror.save_import_faults([one for number in range(100) for one in fault(number, f"f{number}.py")])
    text = page.get("/pipelines").content.decode()
    assert text.count("Airflow cannot read") == text.count("Airflow cannot read 100 files") == 1


def test_a_switch_that_waits_counts_as_moved(page, five):
    make_pipeline("waiting", wanted_is_paused=True, next_attempt_at=NOW)
    moved, stays = listing.switched(["waiting"], is_paused=True)
    assert (moved, [dag_id for dag_id, _why in stays]) == ([], ["waiting"])
    assert RunState.FAILED in listing.LAST


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("show=paused", ["fine"]),
        ("show=active", ["broken", "idle", "trying"]),
        ("order=next", ["idle", "broken", "fine", "trying"]),
    ],
)
def test_switches_on_their_way_narrow_and_order_as_rows_show_them(page, five, query, expected):
    Pipeline.objects.filter(pk="fine").update(wanted_is_paused=True, next_attempt_at=NOW)
    Pipeline.objects.filter(pk="idle").update(wanted_is_paused=False, next_attempt_at=NOW)
    assert names(page, query) == expected


def test_a_bar_says_when_and_how_long_to_the_microsecond(db):
    make_pipeline("etl")
    at = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
    run = make_run("etl", created_at=at, started_at=at, ended_at=at + timedelta(seconds=1.5))
    waiting = make_run("etl", "queued", created_at=at + timedelta(seconds=1), started_at=None)
    assert listing.strips(["etl", "never_ran", "unknown"]) == {
        "etl": [
            ("success", 1.5, at, "1 Mar 2026, 12:00:00 UTC", f"/runs/{run.pk}"),
            ("queued", None, waiting.created_at, "1 Mar 2026, 12:00:01 UTC", f"/runs/{waiting.pk}"),
        ]
    }
    make_pipeline("never_ran")
    assert listing.strips(["never_ran"]) == {"never_ran": []}


def test_several_tags_are_those_of_pipelines_that_have_all_of_them(page):
    for name, tags in {"a": ["x", "y", "z"], "b": ["x"], "c": ["y", "x"]}.items():
        make_pipeline(name, tags=tags)
    query = "tag=x&tag=y&tag="
    shown = page.get(f"/pipelines?{query}")
    assert [row.pipeline.pk for row in shown.context["page"]["rows"]] == ["a", "c"]
    assert re.findall(r'name="tag"\s+value="(.)"\s+checked', shown.text) == ["x", "y"]
    assert "tag=x&amp;tag=y" in shown.text  # in what orders the list
    found = page.get(f"/api/v1/pipelines?{query}&limit=1").json()
    assert [one["dag_id"] for one in found["results"]] == ["a"]
    assert [one["dag_id"] for one in page.get(found["next"]).json()["results"]] == ["c"]


def test_the_filters_offer_each_tag_and_owner_of_what_is_there_once(db):
    make_pipeline("a", tags=["x", "ä"], owners=["ben", "ana"])
    make_pipeline("b", tags=["x"], owners=["ana"])
    make_pipeline("gone", tags=["old"], owners=["eve"], gone_at=NOW)
    assert listing.facets() == (["x", "ä"], ["ana", "ben"])
