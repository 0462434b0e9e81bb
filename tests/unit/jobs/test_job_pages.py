"""Pages of jobs: the list, the form that parameters draw, one job with its log."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib.errors import NotFound
from jobs import applications, forms, log_lines, summaries, tasks
from jobs.applications import Application, Parameter
from jobs.models import Job, JobState
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.unit.jobs.spark_apps.made_trips import table, write

pytestmark = pytest.mark.django_db

RESULT = {
    "rows_in": 1000,
    "rows_kept": 940,
    "dropped": {"no_distance": 50, "no_amount": 0, "large_tip": 10},
    "output": "/output/trips",
    "n_files": 1,
    "size_bytes": 2048,
    "columns": [{"name": "month", "type": "int"}],
    "seed": 7,
}


@pytest.fixture(autouse=True)
def data(tmp_path, settings):
    """A month in the data folder; jobs' folders beside it."""
    settings.CONSOLE_VAR_DIR = tmp_path / "var"
    settings.CONSOLE_DATA_DIR, settings.CONSOLE_OUTPUT_DIR = tmp_path / "data", tmp_path / "output"
    settings.CONSOLE_DATA_DIR.mkdir(exist_ok=True)
    write(settings.CONSOLE_DATA_DIR / "month.parquet", table({}))
    return settings.CONSOLE_DATA_DIR


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """Ids that a worker would have got."""
    ids: list[str] = []
    monkeypatch.setattr(tasks.attend, "apply_async", lambda args, *_others: ids.append(args[0]))
    return ids


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


@pytest.fixture
def viewer():
    return signed_in(make_user("vic", "viewer"))


def make_job(state=JobState.QUEUED, **values):
    has_ended = state in ("succeeded", "failed", "cancelled", "lost")
    moment = {"ended_at": timezone.now(), "next_attempt_at": None} if has_ended else {}
    place = {"ui_port": 41020} if state in ("starting", "running") else {}
    params = {"source": "/data/month.parquet"}
    return Job.objects.create(app="clean_trips", params=params, state=state, **moment | place | values)


def text_of(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def test_list_is_empty_with_the_next_step(engineer, viewer):
    assert "Choose an application" in text_of(engineer.get("/jobs"))
    assert "Choose an application" not in text_of(viewer.get("/jobs"))


def test_list_is_narrowed_by_state_and_application(viewer):
    failed, running = make_job(JobState.FAILED, error="no"), make_job(JobState.RUNNING)
    for query, shown, hidden in (("state=failed", failed, running), ("state=running", running, failed)):
        page = text_of(viewer.get(f"/jobs?{query}"))
        assert f"/jobs/{shown.pk}" in page
        assert f"/jobs/{hidden.pk}" not in page
    assert "No job fits" in text_of(viewer.get("/jobs?app=other"))
    assert viewer.get("/jobs?state=none&page=x").status_code == 200


def test_list_shows_stages_and_who(viewer):
    make_job(JobState.RUNNING, stages_total=4, stages_done=1, requested_by=make_user("ana"), is_demo=True)
    page = text_of(viewer.get("/jobs", headers={"hx-request": "true"}))
    assert page.startswith('<div id="job-table"')
    assert "1 of 4" in page
    assert "ana" in page
    assert "demo-mark" in page


def test_overview_shows_the_newest_few(viewer):
    for hours in range(6):
        make_job(requested_at=timezone.now() - timedelta(hours=hours))
    page = viewer.get("/jobs/recent").content.decode()
    assert page.count("<li>") == 5
    assert "/jobs/recent" in viewer.get("/").content.decode()


def test_applications_lead_to_their_forms(engineer):
    assert 'href="/jobs/new/clean_trips"' in text_of(engineer.get("/jobs/new"))
    page = text_of(engineer.get("/jobs/new/clean_trips"))
    assert 'name="source"' in page
    assert '<option value="month.parquet">' in page
    assert "large tip: the tip is more than half of the total amount" in page
    assert engineer.get("/jobs/new/nothing").status_code == 404


def test_submission_queues_a_job(engineer, sent, data, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = engineer.post("/jobs/new/clean_trips", {"source": "month.parquet"})
    job = Job.objects.get()
    assert answer.headers["Location"] == f"/jobs/{job.pk}"
    assert job.params == {"source": str(data / "month.parquet")}
    assert sent == [str(job.pk)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "required"),
        ("none.parquet", "There is no"),
        ("../secret.parquet", "outside"),
        ("/etc/passwd", "outside"),
        ("link.parquet", "outside"),
    ],
)
def test_a_source_that_cannot_be_is_refused_at_its_field(engineer, data, source, words):
    (data.parent / "secret.parquet").write_text("")
    (data / "link.parquet").symlink_to(data.parent / "secret.parquet")
    answer = engineer.post("/jobs/new/clean_trips", {"source": source}, headers={"hx-request": "true"})
    page = text_of(answer)
    assert answer.status_code == 422
    assert page.startswith('<form class="form" id="submit-form"')
    error = re.search(r'id="id_source_error">.*?<span>(.*?)</span>', page)
    assert error is not None
    assert words in error[1]
    assert not Job.objects.exists()


def test_a_job_can_be_run_again_with_its_parameters(engineer):
    job = make_job(JobState.FAILED, error="no")
    assert f"/jobs/new/clean_trips?from={job.pk}" in text_of(engineer.get(f"/jobs/{job.pk}"))
    assert 'value="/data/month.parquet"' in text_of(engineer.get(f"/jobs/new/clean_trips?from={job.pk}"))
    assert engineer.get("/jobs/new/clean_trips?from=nothing").status_code == 200


def test_a_viewer_sees_and_does_not_touch(viewer):
    job = make_job()
    page = text_of(viewer.get(f"/jobs/{job.pk}"))
    assert "Cancel" not in page
    assert viewer.get("/jobs/new/clean_trips").status_code == 403
    assert viewer.post(f"/jobs/{job.pk}/cancel").status_code == 403


def test_a_queued_job_says_how_many_are_before_it(viewer):
    first = make_job(requested_at=timezone.now() - timedelta(minutes=1))
    second = make_job()
    assert "It is the next to start." in text_of(viewer.get(f"/jobs/{first.pk}"))
    assert "1 job starts before it." in text_of(viewer.get(f"/jobs/{second.pk}"))


def test_a_running_job_shows_stages_and_tasks(viewer):
    job = make_job(JobState.RUNNING, stages_total=4, stages_done=1, tasks_total=20, tasks_done=7)
    page = text_of(viewer.get(f"/jobs/{job.pk}", headers={"hx-request": "true"}))
    assert "1 / 4" in page
    assert "7 / 20" in page
    assert 'id="job-body"' in page


def test_a_result_is_drawn_as_numbers(viewer):
    job = make_job(JobState.SUCCEEDED, result=RESULT)
    page = text_of(viewer.get(f"/jobs/{job.pk}"))
    for words in ("94.0%", "no distance", "5.0%", "large tip", "/output/trips", "2.0 KiB", "seed"):
        assert words in page.replace("\u202f", "").replace("\xa0", " ").replace(" %", "%"), words


def test_cancelling_ends_a_queued_job(engineer):
    job = make_job()
    assert engineer.post(f"/jobs/{job.pk}/cancel").status_code == 302
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert "Cancelled by" in text_of(engineer.get(f"/jobs/{job.pk}"))


@pytest.mark.parametrize("path", ["", "/log", "/log/text"])
def test_an_unknown_job_is_not_found(viewer, path):
    assert viewer.get(f"/jobs/00000000-0000-7000-8000-000000000000{path}").status_code == 404


def write_log(job, text):
    job.folder.path.mkdir(parents=True)
    job.folder.log.write_text(text)


def test_the_log_has_times_and_levels_and_is_followed(viewer):
    job = make_job(JobState.RUNNING)
    write_log(job, "26/11/21 06:55:52 WARN Utils: <slow>\nrows: 7\n")
    page = text_of(viewer.get(f"/jobs/{job.pk}/log", headers={"hx-request": "true"}))
    assert '<div class="log-line log-warning"><span>06:55:52</span><span>warning</span>' in flat(page)
    assert "Utils: &lt;slow&gt;" in page
    assert "rows: 7" in page
    assert "data-follow" in page


def test_a_long_log_is_shown_from_its_end_and_read_backwards(viewer):
    job = make_job(JobState.FAILED, error="no")
    write_log(job, "".join(f"línea {number}\n" for number in range(20_000)))
    newest = text_of(viewer.get(f"/jobs/{job.pk}/log"))
    assert "línea 19999<" in newest
    assert "data-follow" not in newest
    first = int(re.search(r"línea (\d+)<", newest)[1])
    before = re.search(r"\?before=(\d+)", newest)[1]
    earlier = text_of(viewer.get(f"/jobs/{job.pk}/log?before={before}"))
    assert f"línea {first - 1}<" in earlier
    assert f"línea {first}<" not in earlier
    whole = b"".join(viewer.get(f"/jobs/{job.pk}/log/text").streaming_content)
    assert whole == job.folder.log.read_bytes()


def test_a_log_that_is_gone_says_so(viewer):
    assert "It has not started yet." in text_of(viewer.get(f"/jobs/{make_job().pk}"))
    cleared = make_job(JobState.CANCELLED, cleared_at=timezone.now())
    assert "The log was cleared" in text_of(viewer.get(f"/jobs/{cleared.pk}"))
    assert viewer.get(f"/jobs/{cleared.pk}/log/text").status_code == 404


def test_search_finds_applications_and_jobs(viewer, engineer):
    job = make_job()
    assert f"/jobs/{job.pk}" in text_of(viewer.get(f"/search?q={str(job.pk)[:20]}"))
    assert "/jobs/new/clean_trips" in text_of(engineer.get("/search?q=clean tr"))
    assert "/jobs/new/clean_trips" not in text_of(viewer.get("/search?q=clean tr"))


def test_each_kind_of_parameter_has_its_field():
    given = [
        Parameter("n", "Clusters", "How many.", "integer", False, 8, minimum=2, maximum=50),
        Parameter("share", "Share", "", "number", False, 0.5),
        Parameter("is_quick", "Quick", "", "boolean", False, False),
        Parameter("kind", "Kind", "", "choice", False, 2, choices=(1, 2)),
        Parameter("note", "Note", "", "text", False),
    ]
    application = Application(
        "made_up", "Made up", "Do.", applications.find("clean_trips").path, tuple(given)
    )
    page = forms.JobForm(application).as_p()
    assert "How many. From 2 to 50." in page
    form = forms.JobForm(application, {"n": "3", "share": "0.25", "kind": "1", "note": ""})
    assert form.is_valid(), form.errors
    assert form.params() == {"n": 3, "share": 0.25, "is_quick": False, "kind": 1}
    assert applications.check(application, form.params())["kind"] == 1
    faulty = forms.JobForm(application, {"n": "99", "share": "nan", "kind": "3"})
    assert set(faulty.errors) == {"n", "share", "kind"}


def test_lines_of_the_application_have_no_level():
    assert log_lines.lines("a\n\n26/11/21 06:55:52 ERROR X: y") == [
        ("", "", "a"),
        ("", "", ""),
        ("06:55:52", "error", "X: y"),
    ]


def test_summary_shares_are_of_all_rows_and_bars_of_the_longest():
    found = summaries.summary(RESULT)
    assert found.share_kept == 0.94
    assert [(one.share, one.length) for one in found.dropped] == [(0.05, 1.0), (0.01, 0.2), (0.0, 0.0)]
    assert found.others == [("seed", "7")]
    nothing = summaries.summary({"rows_in": 0, "rows_kept": 0, "dropped": {"no_amount": 0}})
    assert (nothing.share_kept, nothing.dropped[0].share) == (0.0, 0.0)


def tables(**more):
    table = {"title": "t", "columns": [{"name": "n", "kind": "count"}], "rows": [[1]], "drawn": "n"}
    return {"tables": [table | more]}


@pytest.mark.parametrize(
    "odd",
    [
        {"rows_in": "12"},
        {"rows_in": 10**400, "rows_kept": 1},
        {"rows_in": True},
        {"rows_kept": -1},
        {"dropped": {"a": None}},
        {"dropped": [1]},
        {"output": 7},
        {"n_files": "one"},
        {"size_bytes": [1]},
        {"columns": ["a"]},
        {"columns": {"a": "int"}},
        {"mlflow_run_id": "a/b"},
        {"mlflow_run_id": 7},
        {"tables": [{}]},
        {"tables": {"a": 1}},
        tables(columns=[]),
        tables(rows=[[1, 2]]),
        tables(drawn=["n"]),
    ],
)
def test_a_result_of_another_shape_than_agreed_is_shown_as_it_is(viewer, odd):
    job = make_job(JobState.SUCCEEDED, result=odd | {"seed": 7})
    assert viewer.get(f"/jobs/{job.pk}").status_code == 200
    told = dict(summaries.summary(odd | {"seed": 7}).others)
    assert next(iter(odd)).replace("_", " ") in told
    assert told["seed"] == "7"


def test_what_is_no_number_in_a_column_of_numbers_is_text(viewer):
    kinds = [{"name": kind, "kind": kind} for kind in ("count", "share", "number", "text")]
    rows = [[value] * 4 for value in (2, 0.5, "many", None, True, [1], {"a": 1}, 10**400, -(10**400))]
    job = make_job(JobState.SUCCEEDED, result=tables(columns=kinds, rows=rows, drawn="share"))
    assert "many" in text_of(viewer.get(f"/jobs/{job.pk}"))
    (drawn,) = summaries.summary(job.result).tables
    assert [row[1].length for row in drawn.rows] == [1.0, 0.25, *[0.0] * 7]


def test_unknown_applications_are_named_by_their_name(viewer):
    with pytest.raises(NotFound):
        applications.find("gone")
    job = make_job(JobState.FAILED, error="no")
    Job.objects.update(app="gone")
    assert "gone" in text_of(viewer.get(f"/jobs/{job.pk}"))


def test_tables_of_a_result_are_drawn_with_bars_and_a_link_to_mlflow(viewer):
    table = {
        "title": "By month",
        "columns": [{"name": "month", "kind": "text"}, {"name": "mean_tip", "kind": "number"}],
        "rows": [["2024-01", 2.0], ["2024-02", 4.0], ["2024-03", None]],
        "drawn": "mean_tip",
    }
    job = make_job(JobState.SUCCEEDED, result={"tables": [table], "mlflow_run_id": "a" * 32, "trips": 3})
    page = text_of(viewer.get(f"/jobs/{job.pk}"))
    assert "By month" in page
    assert f"/mlflow-runs/{'a' * 32}" in page
    found = summaries.summary(job.result)
    assert [row[1].length for row in found.tables[0].rows] == [0.5, 1.0, 0.0]
    assert [row[0].length for row in found.tables[0].rows] == [None] * 3
    assert found.others == [("trips", "3")]
