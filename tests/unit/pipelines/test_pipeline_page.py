"""The page of a pipeline: grid and graph with groups, durations, next runs, code, documentation, assets."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from core.lib.errors import NotFound
from pipelines import answers, asset_answers, coming, dag_answers, durations, mirror, sync
from pipelines.models import LONGEST_SOURCE, Asset, Pipeline, PipelineSource, Run, TaskInstance
from tests.pipeline_rows import STARTED, make_pipeline, make_run, make_task

DAG = "nightly"
URL = f"/pipelines/{DAG}"


# --- grid and graph


def many(n_tasks, n_runs):
    """A pipeline of ten groups, all of its tasks run in each of its runs."""
    tasks = [
        {"id": f"group_{n % 10}.task_number_{n:03}", "label": "", "downstream": [], "operator": "@task"}
        for n in range(n_tasks)
    ]
    make_pipeline(DAG, tasks=tasks)
    runs = [make_run(DAG, ended_at=STARTED + timedelta(seconds=n)) for n in range(n_runs)]
    TaskInstance.objects.bulk_create(
        TaskInstance(run=run, task_id=task["id"], state="success", duration_s=12.3, try_number=1)
        for run in runs
        for task in tasks
    )
    return runs


@pytest.mark.django_db
def test_the_largest_grid_is_small_and_costs_no_more_queries(page, django_assert_max_num_queries):
    many(200, 50)
    page.get(URL)
    with django_assert_max_num_queries(10):
        answer = page.get(URL)
    assert len(answer.content) < 300_000
    assert len(answer.context["grid"].columns) == 50
    assert len(answer.context["grid"].rows) == 210
    assert answer.context["graph"].boxes == []
    assert len(page.get(f"{URL}/graph").context["graph"].boxes) == 200


@pytest.mark.django_db
def test_groups_fold_by_the_address_in_grid_and_graph(page):
    many(20, 1)
    answer = page.get(f"{URL}?fold=group_1&fold=group_2")
    assert [row.id for row in answer.context["grid"].rows if row.is_folded] == ["group_1", "group_2"]
    assert {item.box.id for item in answer.context["graph"].boxes} >= {
        "group_1",
        "group_2",
        "group_3.task_number_003",
    }
    folded = next(item for item in answer.context["graph"].boxes if item.box.id == "group_1")
    assert (folded.state, folded.n_instances) == ("success", 2)
    text = answer.content.decode()
    assert 'href="?fold=group_2"' in text
    assert 'href="?fold=group_1&amp;fold=group_2&amp;fold=group_3"' in text
    assert "?fold=group_1&amp;fold=group_2&amp;run=" in text


@pytest.mark.django_db
def test_mapped_tasks_are_counted_in_the_square_and_the_box(page):
    make_pipeline(DAG)
    run = make_run(DAG)
    for index in range(5):
        make_task(
            run, "load", "failed" if index == 3 else "success", map_index=index, duration_s=float(index)
        )
    answer = page.get(URL)
    cell = answer.context["grid"].columns[0]
    states = answer.context["grid"].states
    state, seconds, several = cell.facts.split("|")[0].split(":")
    assert (states[int(state)], seconds) == ("failed", "4")
    assert Counter(
        {states[int(one.split("=")[0])]: int(one.split("=")[1]) for one in several.split(",")}
    ) == {
        "success": 4,
        "failed": 1,
    }
    assert "load × 5" in " ".join(answer.content.decode().split())


# --- durations


def timed(seconds, state="success"):
    return SimpleNamespace(duration=None if seconds is None else timedelta(seconds=seconds), state=state)


def test_bars_are_as_tall_as_their_share_of_the_axis():
    chart = durations.draw([timed(30), timed(60), timed(None), timed(120, "failed")])
    heights = [bar.height for bar in chart.bars]
    assert heights == pytest.approx([50.5, 101, 202], abs=0.2)
    assert chart.median_s == 45
    assert [seconds for _y, seconds in chart.ticks] == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("seconds", [0, 0.004, 0.3, 59, 3599, 86401, 40 * 86400])
def test_the_axis_has_few_lines_and_no_bar_leaves_it(seconds):
    chart = durations.draw([timed(seconds)])
    assert 2 <= len(chart.ticks) <= 6
    assert chart.bars[0].y >= durations.TOP
    assert chart.ticks[-1][1] >= seconds


@pytest.mark.django_db
def test_durations_say_what_took_longest(page, django_assert_max_num_queries):
    make_pipeline(DAG)
    for n in range(3):
        run = make_run(DAG, ended_at=STARTED + timedelta(seconds=10 + n))
        make_task(run, "load", duration_s=1.0)
        make_task(run, "search", duration_s=8.0 + n)
    answer = page.get(f"{URL}/durations")
    assert [(row["task_id"], row["mean_s"], row["n"]) for row in answer.context["slowest"]] == [
        ("search", 9.0, 3),
        ("load", 1.0, 3),
    ]
    assert "median of those that succeeded 11" in answer.content.decode()
    with django_assert_max_num_queries(10):
        page.get(f"{URL}/durations")


# --- next runs


FIRST = datetime(2026, 3, 27, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "expected"),
    [
        ("30 6 * * 1-5", "UTC", ["27 06:30", "30 06:30", "31 06:30", "01 06:30", "02 06:30"]),
        # Clocks go forward in Madrid on the 29th: 7:30 there is 5:30 UTC from then on.
        ("30 7 * * *", "Europe/Madrid", ["27 06:30", "28 06:30", "29 05:30", "30 05:30", "31 05:30"]),
        ("1 day, 0:00:00", "UTC", ["27 06:30", "28 06:30", "29 06:30", "30 06:30", "31 06:30"]),
        ("0:05:00", "UTC", ["27 06:30", "27 06:35", "27 06:40", "27 06:45", "27 06:50"]),
        ("Asset", "UTC", ["27 06:30"]),
        ("0 0 1 * 1", "UTC", ["27 06:30"]),
        ("99 0 * * *", "UTC", ["27 06:30"]),
        ("30 6 * * *", "Nowhere/Land", ["27 06:30"]),
        ("0:00:00", "UTC", ["27 06:30"]),
    ],
)
def test_the_next_five_runs(schedule, zone, expected):
    assert [f"{at.astimezone(UTC):%d %H:%M}" for at in coming.next_times(schedule, FIRST, zone)] == expected


def test_without_a_next_run_there_are_none():
    assert coming.next_times("0 0 * * *", None, "UTC") == []


@pytest.mark.django_db
def test_a_paused_pipeline_has_no_next_runs(page):
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    pipeline = make_pipeline(DAG, schedule="0 0 * * *", next_run_at=midnight, timezone="UTC")
    assert len(page.get(f"{URL}/details").context["next_times"]) == 5
    Pipeline.objects.filter(pk=pipeline.pk).update(is_paused=True)
    assert page.get(f"{URL}/details").context["next_times"] == []


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        ("30 2 * * *", "2026-03-29T01:30"),  # that hour is skipped: Airflow runs it at 03:30 there
        ("30 2 * * *", "2026-10-25T00:30"),  # that hour comes twice
        ("30 2 * * *", "2026-10-25T01:30"),
        ("0 * * * *", "2026-10-25T01:00"),
        ("*/15 * * * 0", "2026-10-25T01:15"),
    ],
)
def test_where_clocks_change_a_schedule_is_read_in_the_zone_all_the_same(schedule, first):
    at = datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert coming.zone_of(schedule, at, "Europe/Madrid") == "Europe/Madrid"
    assert len(coming.next_times(schedule, at, "Europe/Madrid")) == 5


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        ("30 2 * * *", "2026-03-29T02:30"),  # as of UTC
        ("30 1 * * *", "2026-03-29T00:00"),
        ("30 2 * * *", "2026-03-30T01:30"),  # 03:30 there, a day on which nothing is skipped
        ("30 1 * * *", "2026-03-29T00:30:05"),
        ("0 6 * * 1", "2026-03-29T04:00"),  # a Sunday
    ],
)
def test_another_time_than_the_schedule_has_there_is_of_another_zone(schedule, first):
    at = datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert coming.zone_of(schedule, at, "Europe/Madrid") == ""


def test_where_the_next_run_is_no_time_of_the_zone_nothing_is_guessed():
    # 6:00 in New York, while the pipeline's dates are in UTC.
    first = datetime(2026, 1, 27, 11, 0, tzinfo=UTC)
    assert coming.next_times("0 6 * * *", first, "UTC") == [first]
    assert coming.zone_of("0 6 * * *", first, "UTC") == ""
    assert len(coming.next_times("0 6 * * *", first, "America/New_York")) == 5
    assert coming.zone_of("0 6 * * *", first, "America/New_York") == "America/New_York"
    assert coming.zone_of("0 6 * * *", None, "UTC") == "UTC"
    assert coming.zone_of("1 day, 0:00:00", first, "UTC") == ""


@pytest.mark.parametrize(
    ("schedule", "days_before", "expected"),
    [
        ("30 6 * * *", 0, [27, 28]),  # at its date: that of the 29th would be after the end
        ("30 6 * * *", 1, [27, 28, 29]),  # at the end of the day that begins at its date
        ("1 day, 0:00:00", 1, [27, 28, 29]),
    ],
)
def test_the_next_runs_stop_where_the_pipeline_ends(schedule, days_before, expected):
    until = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    logical = FIRST - timedelta(days=days_before)
    times = coming.next_times(schedule, FIRST, "UTC", logical=logical, until=until)
    assert [at.day for at in times] == expected


@pytest.mark.django_db
def test_a_pipeline_without_a_schedule_runs_on_demand(page):
    """Airflow calls that `None`."""
    make_pipeline(DAG, schedule="None", schedule_text="Never, external triggers only")
    assert "On demand" in page.get(URL).text
    assert "on demand" in page.get(f"{URL}/details").text
    assert "on demand" in page.get("/pipelines").text
    assert page.get(f"/api/v1{URL}").json()["schedule"] == ""
    assert page.get("/api/v1/pipelines").json()["results"][0]["schedule"] == ""


@pytest.mark.django_db
def test_the_zone_of_the_schedule_is_named(page):
    first = datetime(2026, 1, 27, 11, 0, tzinfo=UTC)
    row = make_pipeline(DAG, schedule="0 6 * * *", next_run_at=first, timezone="America/New_York")
    text = " ".join(page.get(f"{URL}/details").content.decode().split())
    assert "0 6 * * *</span> (America/New_York)" in text
    Pipeline.objects.filter(pk=row.pk).update(timezone="UTC")
    text = page.get(f"{URL}/details").content.decode()
    assert "In a time zone of its own" in text
    assert "(UTC)" not in text


def test_the_end_of_a_pipeline_and_the_date_of_its_next_run_are_read():
    details = dag_answers.dag_details({"end_date": "2026-04-01T00:00:00Z", "params": {}})
    assert details.ends_at == datetime(2026, 4, 1, tzinfo=UTC)


# --- documentation and code


@pytest.mark.django_db
def test_documentation_is_drawn_and_harmless(page):
    make_pipeline(DAG, doc_md="# Nightly\n\n**bold** <script>alert(1)</script> [x](javascript:alert(1))")
    text = page.get(f"{URL}/details").content.decode()
    assert "<h3>Nightly</h3>" in text
    assert "<strong>bold</strong> &lt;script&gt;" in text
    assert 'href="javascript' not in text


@pytest.mark.django_db
def test_the_code_of_each_version_is_asked_for_once(page, airflow):
    airflow.add_dag(DAG)
    sync.sync_pipelines()
    sync.sync_pipelines()
    assert airflow.calls.count("dag_source") == 1
    PipelineSource.objects.create(dag_id=DAG, version=7, text="x = '<b>'")
    newest = page.get(f"{URL}/code").content.decode()
    assert "x = &#x27;&lt;b&gt;&#x27;" in newest
    assert f"# {DAG}, version 1" in page.get(f"{URL}/code?version=1").content.decode()
    assert "version 7" in page.get(f"{URL}/code?version=99").content.decode()
    listed = page.get(f"/api/v1{URL}/source").json()
    assert (listed["version"], listed["versions"]) == (7, [7, 1])
    assert page.get(f"/api/v1{URL}/source?version=3").status_code == 404


@pytest.mark.django_db
def test_code_that_airflow_tidied_away_stops_nothing(page, airflow, monkeypatch):
    def away(_self, _dag_id, _version):
        raise NotFound("no such version")

    monkeypatch.setattr(type(airflow), "dag_source", away)
    airflow.add_dag(DAG)
    sync.sync_pipelines()
    assert Pipeline.objects.get().details_at is not None
    assert "not known yet" in page.get(f"{URL}/code").content.decode()


@pytest.mark.django_db
def test_a_huge_file_is_cut():
    mirror.save_source(make_pipeline(DAG), 1, "\x00" + "x" * (LONGEST_SOURCE + 10))
    assert len(PipelineSource.objects.get().text) == LONGEST_SOURCE


# --- assets


def asset_item(number, name, producers=(), consumers=()):
    return {
        "id": number,
        "name": name,
        "uri": f"s3://{name}",
        "group": "asset",
        "producing_tasks": [{"dag_id": dag_id, "task_id": "make"} for dag_id in producers],
        "scheduled_dags": [{"dag_id": dag_id} for dag_id in consumers],
        "consuming_tasks": [],
        "last_asset_event": {"id": 1, "timestamp": "2026-03-01T12:00:00Z"},
    }


@pytest.mark.django_db
def test_assets_are_mirrored_and_shown_at_both_ends(page, airflow):
    items = [asset_item(1, "raw", ["maker"], [DAG]), asset_item(2, "clean", [DAG]), {"id": 3}]
    airflow.found_assets = answers.read(items, asset_answers.asset, asset_answers.asset_key)
    sync.sync_assets()
    assert Asset.objects.count() == 2
    make_pipeline(DAG)
    shown = page.get(f"{URL}/details").context
    assert [asset.name for asset in shown["takes"]] == ["raw"]
    assert [asset.name for asset in shown["makes"]] == ["clean"]
    text = page.get("/assets?q=s3://r").content.decode()
    assert "raw" in text
    assert "clean" not in text
    assert [row["name"] for row in page.get("/api/v1/assets").json()["results"]] == ["clean", "raw"]
    airflow.found_assets = airflow.found_assets[:1] + airflow.found_assets[2:]
    sync.sync_assets()
    assert Asset.objects.count() == 1


@pytest.mark.django_db
def test_no_asset_says_what_would_be_here(page):
    assert 'class="empty"' in page.get("/assets").content.decode()
    assert not Run.objects.exists()


def test_the_details_name_the_bundle_of_the_file(page, airflow):
    make_pipeline(bundle="team-etl")
    assert ">team-etl</dd>" in page.get("/pipelines/titanic_training/details").content.decode()
    assert page.get("/api/v1/pipelines/titanic_training").json()["bundle"] == "team-etl"
