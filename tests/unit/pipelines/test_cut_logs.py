"""A log too long to keep: its end is kept, places in it stay what they were, and what is missing is said."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from core.lib import outbox
from core.lib.errors import InvalidRequest
from pipelines import failures, log_copy, log_reading, run_tasks, spool, sync, tasks
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskLog
from pipelines.spool import FAULTS, Wanted
from tests.pipeline_rows import make_run, make_task

AT = datetime(2026, 1, 1, tzinfo=UTC)
DAG, RUN = "etl", "manual__1"
N, KEPT = 1000, 10_000

pytestmark = pytest.mark.django_db


def line(number):
    """Of a hundred bytes in the copy, more or less; an error in the middle, one at the end."""
    said = {300: "ValueError: in the middle", N - 150: "KeyError: kept", N - 1: "OSError: at the end"}
    return LogLine(
        AT, "error" if number in said else "info", said.get(number, f"Line {number:04}" + "." * 40)
    )


ALL = [line(number) for number in range(N)]


@pytest.fixture
def run(airflow, real_redis, tmp_path, settings, monkeypatch):
    """A failed run, of which Airflow has a log of a hundred kilobytes; ten are kept here."""
    settings.CONSOLE_VAR_DIR = tmp_path
    monkeypatch.setattr(spool, "PIECE_BYTES", 3000)
    monkeypatch.setattr(log_copy, "KEPT_BYTES", KEPT)
    monkeypatch.setattr(log_copy, "AT_ONCE", 20)
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=RUN, conf={})
    airflow.move_on(DAG, RUN, "failed", load="failed")
    airflow.log_lines[RUN, "load", 1] = ALL
    sync.sync_runs()
    sync.sync_tasks()
    return Run.objects.get()


@pytest.fixture
def view(run):
    """Its log, copied."""
    log_reading.open_log(run, "load")
    tasks.copy_log(str(TaskLog.objects.get().pk))
    return log_reading.open_log(run, "load")


def backwards(view):
    """All lines, read as the page leads on from the end."""
    seen, place = [], None
    while place is None or place > view.cut.n_bytes:
        piece = view.tail(limit=7, before=place)
        seen, place = piece.lines + seen, piece.start
    return seen


def test_the_end_is_kept_and_every_missing_line_counted(view):
    row = view.copy
    assert (row.is_complete, row.is_cut, row.n_lines) == (True, True, N)
    assert view.cut.n_lines + len(backwards(view)) == N
    assert backwards(view) == ALL[view.cut.n_lines :]
    size_bytes = spool.path_of(row.pk).stat().st_size
    assert KEPT * 0.9 < size_bytes < KEPT * 1.6
    assert row.size_bytes == view.cut.n_bytes + size_bytes - len(b'{"n_bytes":12345,"n_lines":123}\n')


def test_the_last_error_is_quoted_and_the_first_kept_one_found(view):
    failure = failures.of_run(view.copy.run, run_tasks.rows(view.copy.run), [])
    assert failure.error == "OSError: at the end"
    fault = view.first_fault()
    assert view.read(fault, limit=1).lines == [line(N - 150)]
    found = view.tail(limit=100, wanted=Wanted(FAULTS)).lines
    assert [one.message for one in found] == ["KeyError: kept", "OSError: at the end"]


def test_no_error_of_the_middle_is_quoted_while_the_rest_is_copied(run):
    log_reading.open_log(run, "load")
    log_copy.copy(TaskLog.objects.get(), iter(ALL[:310]))
    failure = failures.of_run(run, run_tasks.rows(run), [])
    assert (failure.error, failure.is_read) == ("", False)


def test_a_running_task_is_followed_beyond_the_limit(run, airflow):
    airflow.move_on(DAG, RUN, "running", load="running")
    sync.sync_runs()
    sync.sync_tasks()
    log_reading.open_log(run, "load")
    for end in (200, 400, N - 1):
        airflow.log_lines[RUN, "load", 1] = ALL[:end]
        sync.sync_logs()
    view = log_reading.open_log(run, "load")
    assert (view.is_complete, view.tail(limit=1).lines) == (False, [line(N - 2)])
    airflow.log_lines[RUN, "load", 1] = ALL
    airflow.move_on(DAG, RUN, "failed", load="failed")
    sync.sync_runs()
    sync.sync_tasks()
    log_reading.open_log(run, "load")
    tasks.copy_log(str(view.copy.pk))
    view = log_reading.open_log(run, "load")
    assert (view.is_complete, view.tail(limit=1).lines, view.copy.n_lines) == (True, [line(N - 1)], N)


def test_a_place_that_somebody_holds_leads_on_after_a_cut(run):
    log_reading.open_log(run, "load")
    row = TaskLog.objects.get()
    log_copy.copy(row, iter(ALL[:140]))
    place = log_reading.open_log(run, "load").tail(limit=20).start
    log_copy.copy(row, iter(ALL[:200]))
    view = log_reading.open_log(run, "load")
    assert 0 < view.cut.n_bytes < place
    assert view.read(place, limit=1).lines == [line(120)]
    with pytest.raises(InvalidRequest):
        view.read(place + 1, limit=1)
    log_copy.copy(row, iter(ALL))
    gone = log_reading.open_log(run, "load")
    assert gone.read(place, limit=1).lines == [line(gone.cut.n_lines)]
    assert gone.tail(limit=5, before=place).lines == []


def test_two_that_copy_one_log_write_each_line_once(run, monkeypatch):
    """The lease of the first ended while it was slow; others copied a part of what it has yet to bring."""
    monkeypatch.setattr(log_copy, "KEPT_BYTES", 1_000_000)
    monkeypatch.setattr(spool, "PIECE_BYTES", 1_000_000)
    log_reading.open_log(run, "load")

    def slow():
        for number, one in enumerate(ALL):
            if number in {100, 600}:
                assert log_copy.copy(TaskLog.objects.get(), iter(ALL[: number + 210]))
            yield one

    assert log_copy.copy(TaskLog.objects.get(), slow())
    assert log_reading.open_log(run, "load").tail(limit=2 * N).lines == ALL


def test_who_has_lost_the_lease_of_a_copy_leaves_it(run, monkeypatch):
    monkeypatch.setattr(log_copy, "TOLD_EVERY_S", -1)
    log_reading.open_log(run, "load")
    log_copy.want_copy(TaskLog.objects.get())
    row = outbox.claim(TaskLog, TaskLog.objects.get().pk)

    def lines():
        for number, one in enumerate(ALL):
            if number == 100:
                TaskLog.objects.update(next_attempt_at=timezone.now())
                assert outbox.claim(TaskLog, row.pk)
            yield one

    assert not log_copy.copy(row, lines())
    assert TaskLog.objects.get().n_lines < N


def test_a_copy_that_was_begun_anew_gets_no_gap(run):
    log_reading.open_log(run, "load")
    row = TaskLog.objects.get()

    def lines():
        for number, one in enumerate(ALL):
            if number == 100:
                TaskLog.objects.update(n_lines=0, size_bytes=0)
            yield one

    assert not log_copy.copy(row, lines())
    assert TaskLog.objects.get().n_lines == 0


def test_a_writer_that_waited_writes_into_the_new_file(run):
    log_reading.open_log(run, "load")
    row = TaskLog.objects.get()
    with spool.writing(row.pk) as old:
        spool.append(old, ALL[:50])
        assert spool.cut_head(row.pk, old, keep_bytes=1000)
        assert not spool._is_at(spool.path_of(row.pk), old.file)
    with spool.writing(row.pk) as new:
        size_bytes = spool.append(new, ALL[50:51])
    assert spool.tail(row.pk, size_bytes=size_bytes, limit=2).lines == ALL[49:51]


def test_what_a_dead_writer_left_is_cut_off_behind_a_cut_head(view):
    with spool.path_of(view.copy.pk).open("ab") as file:
        file.write(b'["half a li')
    log_copy.write(TaskLog.objects.get(), [line(7)])
    assert log_reading.open_log(view.copy.run, "load").tail(limit=2).lines == [line(N - 1), line(7)]


def test_a_copy_that_lacks_its_end_is_made_anew(view):
    spool.remove(view.copy.pk)
    with spool.writing(view.copy.pk) as copy:
        size_bytes = spool.append(copy, ALL[:5])
    TaskLog.objects.update(size_bytes=size_bytes, n_lines=5)
    log_reading.open_log(view.copy.run, "load")
    tasks.copy_log(str(view.copy.pk))
    assert log_reading.open_log(view.copy.run, "load").tail(limit=1).lines == [line(N - 1)]


def test_page_download_and_rest_say_what_is_missing(view, page):
    n, run_id = view.cut.n_lines, view.copy.run_id
    url = f"/runs/{run_id}/tasks/load/log"
    for query in ("", "?at=fault", "?level=error"):
        assert f"The first {n} lines of this log (" in page.get(f"{url}{query}").content.decode()
    assert "Earlier lines" in page.get(url).content.decode()
    assert "Earlier lines" not in page.get(f"{url}?before={view.read(0, limit=3).end}").content.decode()
    text = b"".join(page.get(f"/runs/{run_id}/tasks/load/log.txt").streaming_content).decode().splitlines()
    assert text[0].startswith(f"# The first {n} lines of this log (")
    assert (len(text), text[-1].endswith("OSError: at the end")) == (N - n + 1, True)
    answer = page.get(f"/api/v1/runs/{run_id}/tasks/load/log").json()
    assert (answer["n_missing_lines"], answer["lines"][0]["message"]) == (n, line(n).message)


def test_a_log_that_is_whole_says_nothing(page, airflow, real_redis):
    task = make_task(make_run(DAG), "load")
    TaskLog.objects.create(run=task.run, task_id="load", try_number=1, is_complete=True)
    assert "not kept here" not in page.get(f"/runs/{task.run_id}/tasks/load/log").content.decode()
