"""Logs: copied while somebody watches, whole once a try has ended, and never as HTML or colours."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from core.lib.errors import InvalidRequest, Unavailable
from core.lib.models import SetAside
from pipelines import log_copy, log_lines, log_reading, spool, sync, tasks
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskInstance, TaskLog
from tests.pipeline_rows import make_run, make_task

DAG, RUN = "etl", "manual__1"
AT = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def lines(*words):
    return [LogLine(AT, "info", word) for word in words]


@pytest.fixture
def task(airflow, real_redis):
    """A task at work, mirrored, with two lines in its log."""
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=RUN, conf={})
    airflow.move_on(DAG, RUN, "running", load="running")
    airflow.log_lines[RUN, "load", 1] = lines("one", "two")
    sync.sync_runs()
    sync.sync_tasks()
    return TaskInstance.objects.get()


def messages(view, start=0):
    return [line.message for line in view.read(start, limit=1000).lines]


def test_nobody_watching_asks_nothing(task, airflow):
    airflow.calls.clear()
    sync.sync_logs()
    assert airflow.calls == []


def test_lines_come_while_somebody_watches_each_once(task, airflow, told, django_capture_on_commit_callbacks):
    run = Run.objects.get()
    view = log_reading.open_log(run, "load")
    assert messages(view) == []
    with django_capture_on_commit_callbacks(execute=True):
        sync.sync_logs()
    assert f"log:{run.pk}.load.-1.1" in told
    airflow.log_lines[RUN, "load", 1] += lines("three")
    sync.sync_logs()
    sync.sync_logs()
    view = log_reading.open_log(run, "load")
    assert messages(view) == ["one", "two", "three"]
    assert view.is_complete is False


def test_a_log_that_airflow_cannot_give_keeps_no_other(task, airflow, monkeypatch):
    run = Run.objects.get()
    log_reading.open_log(run, "load")
    log_reading.open_log(make_task(make_run(state="running"), "other", "running").run, "other")
    give = log_copy.follow

    def fail_first(row):
        if row.task_id == "other":
            raise Unavailable("The log is on a worker that is gone.", service="airflow")
        give(row)

    monkeypatch.setattr(log_copy, "follow", fail_first)
    sync.sync_logs()
    assert SetAside.objects.get().reason == "The log is on a worker that is gone."
    assert messages(log_reading.open_log(run, "load")) == ["one", "two"]


def test_an_ended_try_is_copied_whole_by_a_worker(task, airflow, sent, django_capture_on_commit_callbacks):
    run = Run.objects.get()
    log_reading.open_log(run, "load")
    sync.sync_logs()
    airflow.log_lines[RUN, "load", 1] += lines("three", "four")
    airflow.move_on(DAG, RUN, "success", load="success")
    sync.sync_runs()
    sync.sync_tasks()
    with django_capture_on_commit_callbacks(execute=True):
        log_reading.open_log(run, "load")
        log_reading.open_log(run, "load")
    assert sent == [("copy_log", str(TaskLog.objects.get().pk))]
    tasks.copy_log(sent[0][1])
    view = log_reading.open_log(run, "load")
    assert messages(view) == ["one", "two", "three", "four"]
    assert view.is_complete is True


@pytest.fixture
def ended(task):
    """Its try ended three seconds ago, and somebody looks at it."""
    TaskInstance.objects.update(state="failed", ended_at=timezone.now() - timedelta(seconds=3))
    log_reading.open_log(Run.objects.get(), "load")
    return TaskInstance.objects.get()


def look_again(seconds):
    """Time passes, and a worker does what is due."""
    seconds = timedelta(seconds=seconds)
    TaskLog.objects.update(next_attempt_at=F("next_attempt_at") - seconds)
    TaskInstance.objects.update(ended_at=F("ended_at") - seconds)
    for row in TaskLog.due():
        tasks.copy_log(str(row.pk))
    return TaskLog.objects.get()


def test_what_callbacks_write_after_the_end_is_copied_too(ended, airflow):
    row = look_again(0)
    assert (row.has_end, row.is_complete, row.n_lines) == (True, False, 2)
    airflow.log_lines[RUN, "load", 1] += lines("the callback writes on")
    row = look_again(8)
    assert (row.is_complete, row.n_lines) == (False, 3)
    assert messages(log_reading.open_log(Run.objects.get(), "load"))[-1] == "the callback writes on"
    airflow.log_lines[RUN, "load", 1] += lines("and its mail")
    row = look_again(70)
    assert (row.is_complete, row.n_lines) == (False, 4), "this look found something"
    row = look_again(70)
    assert (row.is_complete, row.next_attempt_at) == (True, None)


def test_the_looks_at_an_ended_log_are_few(ended, airflow):
    n = 0
    while not TaskLog.objects.get().is_complete:
        look_again(1)
        n += 1
        assert n < 200
    assert airflow.calls.count("whole_log") <= 6
    assert 57 < n < 130


def test_one_look_is_enough_at_a_try_that_ended_long_ago(ended, airflow):
    row = look_again(3600)
    assert (row.is_complete, row.n_lines, airflow.calls.count("whole_log")) == (True, 2, 1)


def test_an_earlier_try_ends_when_the_mirror_saw_it_end(ended):
    at = timezone.now() - timedelta(seconds=5)
    tries = [{"try_number": 1, "state": "failed", "started_at": AT.isoformat(), "ended_at": at.isoformat()}]
    TaskInstance.objects.update(try_number=2, state="running", ended_at=None, earlier_tries=tries)
    assert log_copy.ended_at(TaskLog.objects.get()) == at
    TaskInstance.objects.update(earlier_tries=[])
    assert log_copy.ended_at(TaskLog.objects.get()) is None


class Nowhere(list):
    trouble = "Could not read served logs: Connection refused"


def test_a_log_that_is_not_there_yet_is_tried_again_while_somebody_looks(ended, airflow, monkeypatch, page):
    whole_log = airflow.whole_log
    airflow.whole_log = lambda *_names, **_options: nullcontext(Nowhere())
    row = look_again(3600)
    assert (row.is_complete, row.delivery_error) == (False, Nowhere.trouble)
    assert row.next_attempt_at > timezone.now()
    assert Nowhere.trouble in page.get(f"/runs/{ended.run_id}/failure").content.decode()
    assert "asked again every minute" in page.get(f"/runs/{ended.run_id}/log").content.decode()
    TaskLog.objects.update(read_at=timezone.now() - timedelta(minutes=5))
    assert look_again(100).next_attempt_at is None, "nobody looks"
    log_reading.open_log(Run.objects.get(), "load")
    airflow.whole_log = whole_log  # uploaded meanwhile
    row = look_again(0)
    assert (row.is_complete, row.n_lines, row.delivery_error) == (True, 2, "")


def test_lines_that_are_here_stay_while_airflow_cannot_read_the_log(task, airflow):
    run = Run.objects.get()
    log_reading.open_log(run, "load")
    sync.sync_logs()
    TaskInstance.objects.update(state="failed", ended_at=timezone.now())
    log_reading.open_log(run, "load")
    whole_log = airflow.whole_log
    airflow.whole_log = lambda *_names, **_options: nullcontext(Nowhere())
    row = look_again(300)
    assert (row.is_complete, row.n_lines, row.delivery_error) == (False, 2, Nowhere.trouble)
    airflow.whole_log = whole_log
    airflow.log_lines[RUN, "load", 1] += lines("three")
    assert look_again(100).n_lines == 3
    assert messages(log_reading.open_log(run, "load")) == ["one", "two", "three"]


def test_an_error_is_quoted_once_the_try_has_ended(ended, airflow, page):
    airflow.log_lines[RUN, "load", 1] += [LogLine(AT, "error", "ValueError: boom")]
    look_again(0)
    text = page.get(f"/runs/{ended.run_id}/failure").content.decode()
    assert "ValueError: boom" in text
    assert "hx-trigger" in text, "what callbacks write may follow"
    answer = page.get(f"/api/v1/runs/{ended.run_id}/tasks/load/log").json()
    assert (answer["has_end"], answer["is_complete"]) == (True, False)
    assert "may still write here" in page.get(f"/runs/{ended.run_id}/log").content.decode()


def test_airflow_away_is_said_and_the_copy_tried_again(task, airflow):
    make_ended = TaskInstance.objects.get()
    TaskInstance.objects.filter(pk=make_ended.pk).update(state="success")
    log_reading.open_log(Run.objects.get(), "load")
    airflow.is_away = True
    row = TaskLog.objects.get()
    tasks.copy_log(str(row.pk))
    row.refresh_from_db()
    assert row.delivery_error == "Airflow is not answering."
    assert row.next_attempt_at > timezone.now()


def test_a_file_that_vanished_is_copied_again(task, airflow):
    run = Run.objects.get()
    row = log_reading.open_log(run, "load").copy
    sync.sync_logs()
    spool.remove(row.pk)
    log_reading.open_log(run, "load")
    sync.sync_logs()
    assert messages(log_reading.open_log(run, "load")) == ["one", "two"]


def test_what_a_dead_writer_left_behind_is_cut_off(task):
    run = Run.objects.get()
    row = log_reading.open_log(run, "load").copy
    sync.sync_logs()
    with spool.path_of(row.pk).open("ab") as file:
        file.write(b'["half a li')
    log_copy.write(TaskLog.objects.get(), lines("three"))
    assert messages(log_reading.open_log(run, "load")) == ["one", "two", "three"]


def test_unread_copies_go(task):
    row = log_reading.open_log(Run.objects.get(), "load").copy
    sync.sync_logs()
    TaskLog.objects.update(read_at=timezone.now() - timedelta(days=2))
    log_copy.remove_unread()
    assert not TaskLog.objects.exists()
    assert not spool.path_of(row.pk).exists()


def test_a_log_can_be_read_while_redis_is_away(db, airflow):
    make_task(make_run(state="running"), "load", "running")
    view = log_reading.open_log(Run.objects.get(), "load")
    assert view.read(0, limit=10).lines == []


def test_the_tail_ends_at_the_last_line_and_leads_back(tmp_path, settings):
    settings.CONSOLE_VAR_DIR = tmp_path
    with spool.writing(1) as file:
        size = spool.append(file, lines(*map(str, range(10))))
    last = spool.tail(1, size_bytes=size, limit=3)
    before = spool.tail(1, size_bytes=size, limit=3, before=last.start)
    assert [line.message for line in last.lines] == ["7", "8", "9"]
    assert [line.message for line in before.lines] == ["4", "5", "6"]


def test_a_place_within_a_line_is_refused(tmp_path, settings):
    settings.CONSOLE_VAR_DIR = tmp_path
    with spool.writing(1) as file:
        size = spool.append(file, lines("one", "two"))
    with pytest.raises(InvalidRequest, match="No line of this log begins there"):
        spool.read(1, start=3, size_bytes=size, limit=3)
    with pytest.raises(InvalidRequest, match="No line of this log begins there"):
        spool.tail(1, size_bytes=size, limit=3, before=3)


@pytest.mark.parametrize(
    "query", ["try=-1", "try=7", f"try={'9' * 5000}", "before=--5", "before=3", "before=-3"]
)
def test_numbers_that_somebody_made_up_break_no_log(task, page, query):
    log_reading.open_log(Run.objects.get(), "load")
    sync.sync_logs()
    for path in (f"/runs/{task.run_id}/log?task=load&", f"/runs/{task.run_id}/tasks/load/log?"):
        assert page.get(path + query).status_code in {200, 404, 422}


def test_the_log_as_a_file_holds_every_line(task, page):
    log_reading.open_log(Run.objects.get(), "load")
    sync.sync_logs()
    answer = page.get(f"/runs/{task.run_id}/tasks/load/log.txt")
    assert b"".join(answer.streaming_content).decode().splitlines() == [
        "2026-01-01T00:00:00.000+00:00 info one",
        "2026-01-01T00:00:00.000+00:00 info two",
        "# This is not the end: the task has not ended, and what it writes after this is missing.",
    ]
    assert answer["Content-Disposition"] == f'attachment; filename="load-run{task.run_id}-try1.log"'


def downloaded(page, task):
    answer = page.get(f"/runs/{task.run_id}/tasks/load/log.txt")
    return b"".join(answer.streaming_content).decode().splitlines()


def test_a_file_that_lacks_the_end_says_so_and_why(ended, airflow, page):
    log_copy.copy(TaskLog.objects.get(), lines("one"))
    assert downloaded(page, ended)[1:] == [
        "# This is not the end: the log is still being copied. Download it again in a moment."
    ]
    assert "Download what is here so far" in page.get(f"/runs/{ended.run_id}/log").content.decode()
    TaskLog.objects.update(delivery_error="Airflow is\naway.")
    assert downloaded(page, ended)[2:] == ["# Airflow is", "# away."]
    look_again(301)  # the lease of the copy that was cut short
    assert downloaded(page, ended)[2:] == [
        "# This try has ended; what its callbacks and mails may still write here is missing."
    ]
    look_again(3600)
    assert downloaded(page, ended) == [
        "2026-01-01T00:00:00.000+00:00 info one",
        "2026-01-01T00:00:00.000+00:00 info two",
    ]
    assert "Download what is here so far" not in page.get(f"/runs/{ended.run_id}/log").content.decode()


OWN = {"dag_id": DAG, "run_id": RUN, "task_id": "load", "try_number": 1, "map_index": -1}


def test_colours_and_control_characters_are_taken_out():
    line = log_lines.from_airflow({"event": "\x1b[31mred\x1b[0m\x00\x07 <b>x</b>", "level": "WARN"}, OWN)
    assert (line.message, line.level) == ("red <b>x</b>", "warning")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "yesterday", 0, None])
def test_a_line_of_no_possible_time_has_none(at, tmp_path, settings):
    line = log_lines.from_airflow({"event": "x", "timestamp": at}, OWN)
    assert (line.at, line.message) == (None, "x")


def test_a_time_that_an_older_release_copied_breaks_no_page(tmp_path, settings):
    settings.CONSOLE_VAR_DIR = tmp_path
    with spool.writing(1) as file:
        size = spool.append(file, [LogLine(datetime(1, 1, 1, tzinfo=UTC), "info", "x")])
    assert [line.at for line in spool.tail(1, size_bytes=size, limit=9).lines] == [None]


def test_a_long_line_is_cut_on_the_page_alone_and_says_by_how_much(task, airflow, page):
    whole = '{"rows": "' + "x" * 10_000 + ' needle"}'
    airflow.log_lines[RUN, "load", 1] = [LogLine(AT, "info", log_lines.clean(whole))]
    log_reading.open_log(Run.objects.get(), "load")
    sync.sync_logs()
    assert downloaded(page, task)[0].endswith(whole)
    address = f"/runs/{task.run_id}/tasks/load/log"
    for query in ("", "?q=needle"):
        assert page.get(f"/api/v1{address}{query}").json()["lines"][0]["message"] == whole
        shown = page.get(f"{address}{query}").content.decode()
        assert f"x … [+{len(whole) - log_lines.LONGEST_LINE}]" in shown
        assert "needle&quot;" not in shown


def test_an_exception_is_shown_with_its_frames():
    fault = {
        "exc_type": "ValueError",
        "exc_value": "no",
        "frames": [{"filename": "a.py", "lineno": 3, "name": "f"}],
    }
    line = log_lines.from_airflow({"event": "Task failed", "level": "error", "error_detail": [fault]}, OWN)
    assert line.message == "Task failed\n  File 'a.py', line 3, in f\nValueError: no"


HEAD = [
    {"event": "::group::Log message source details"},
    {"event": "Could not read served logs: HTTPConnectionPool(host='x', port=8793): Connection refused"},
    {"event": "/logs/dag_id=etl/run_id=r/task_id=load/attempt=1.log"},
    {"event": "::endgroup::"},
]


def test_airflows_own_head_is_no_line():
    found = log_lines.Lines([*HEAD, {"event": "one", "level": "info"}, {"event": "::endgroup::"}], OWN)
    assert [line.message for line in found] == ["one"]


def test_a_log_of_nothing_says_what_airflow_says():
    found = log_lines.Lines(HEAD, OWN)
    assert list(found) == []
    assert found.trouble.startswith("Could not read served logs")


def stack(exc_type, exc_value, **values):
    frame = {"filename": "a.py", "lineno": 1, "name": "f"}
    return {"exc_type": exc_type, "exc_value": exc_value, "frames": [frame], **values}


def test_a_group_shows_what_is_in_it_and_its_notes():
    inner = [[stack("ValueError", "bad\nrow")], [stack("KeyError", "'x'", exc_notes=["in file b.csv"])]]
    group = stack("ExceptionGroup", "2 failed", exc_notes=["while loading"], is_group=True, exceptions=inner)
    text = log_lines.from_airflow({"event": "Task failed", "error_detail": [group]}, OWN).message
    assert text.splitlines() == [
        "Task failed",
        "  File 'a.py', line 1, in f",
        "ExceptionGroup: 2 failed",
        "while loading",
        "  +---------------- 1 ----------------",
        "  |   File 'a.py', line 1, in f",
        "  | ValueError: bad",
        "  | row",
        "  +---------------- 2 ----------------",
        "  |   File 'a.py', line 1, in f",
        "  | KeyError: 'x'",
        "  | in file b.csv",
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"dag_id": DAG, "run_id": RUN, "task_id": "load", "map_index": -1, "try_number": "1"}, "waiting"),
        ({"dag_id": "other", "run_id": RUN}, "waiting dag_id=other"),
        ({"run_id": 907}, "waiting run_id=907"),
        ({"ti": f"RuntimeTaskInstance(task_id='load', dag_id='{DAG}', run_id='{RUN}')"}, "waiting"),
        ({"ti": "Timor"}, "waiting ti=Timor"),
        ({"chan": "stdout", "loc": "a.py:3", "filename": "a.py", "lineno": 3}, "waiting"),
        ({"chan": "#ops", "loc": "Quito"}, "waiting chan=#ops loc=Quito"),
        (
            {"logger": "py.warnings", "category": "FutureWarning", "filename": "a.py", "lineno": 3},
            "waiting category=FutureWarning filename=a.py lineno=3",
        ),
    ],
)
def test_only_what_airflow_says_of_this_try_is_left_out(said, shown):
    assert log_lines.from_airflow({"event": "waiting", **said}, OWN).message == shown


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("boom\nat x", "failed\nboom\nat x"),
        ({"code": 7}, "failed\n{'code': 7}"),
        (["a", "b"], "failed\n['a', 'b']"),
    ],
)
def test_an_exception_that_the_program_tells_as_a_text_is_shown_with_its_line(detail, shown):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    item = {"event": "failed", "level": "error", "timestamp": at.isoformat(), "error_detail": detail}
    assert list(log_lines.Lines([item], OWN)) == [LogLine(at, "error", shown)]


def test_a_cause_comes_first_as_python_prints_it():
    detail = [stack("RuntimeError", "load failed"), stack("OSError", "disk full", is_cause=True)]
    text = log_lines.from_airflow({"event": "x", "error_detail": detail}, OWN).message
    assert text.index("disk full") < text.index("direct cause") < text.index("load failed")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\!", "link!"),
        ("\x1b]2;never ended", ""),
        ("\x1bP1;2|dcs\x1b\\after", "after"),
        ("\x1b[38;5;196mred\x1b[m", "red"),
        ("\x1b[38:2::1:2:3mred\x1b[0K", "red"),
        ("\x1b(B\x1b)0text\x1b7\x1b8\x1b=", "text"),
        ("\x9b31mred\x9b0m", "red"),
        ("cut \x1b[31", "cut "),
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("_\bu", "u"),
        ("10%\r20%", "10%\n20%"),
        ("a\x85b\u202ec", "abc"),
        ("smart \u201cquotes\u201d, é, 日本", "smart \u201cquotes\u201d, é, 日本"),
        ("mojibake â\x80\x9d stays readable", "mojibake â stays readable"),
    ],
)
def test_what_a_terminal_would_swallow_is_gone(raw, shown):
    assert log_lines.clean(raw) == shown


def test_a_long_trace_keeps_its_end():
    trace = "\n".join(["x" * 3000] * 50 + ["ValueError: the reason"])
    kept = log_lines.clean(trace)
    assert kept == trace
    shown = LogLine(None, "", kept).shown
    assert shown.endswith("ValueError: the reason")
    assert "characters left out" in shown
    assert len(shown) < 70_000


def test_a_message_without_end_keeps_its_ends():
    text = log_lines.clean("first " + "x" * 3_000_000 + " last")
    assert text.startswith("first ")
    assert text.endswith(" last")
    assert "characters left out" in text
    assert len(text) < log_lines.LONGEST_MESSAGE + 100


def test_lines_are_copied_a_bounded_text_at_a_time(task, monkeypatch):
    monkeypatch.setattr(log_copy, "AT_ONCE_CHARACTERS", 1000)
    view = log_reading.open_log(Run.objects.get(), "load")
    written = []
    append = spool.append
    monkeypatch.setattr(spool, "append", lambda copy, some: written.append(len(some)) or append(copy, some))
    assert log_copy.copy(view.copy, lines(*["x" * 400] * 7)) == 7
    assert written == [3, 3, 1]


def test_a_whole_copy_of_an_earlier_release_has_its_end(ended, page):
    TaskLog.objects.update(is_complete=True, has_end=False)
    assert log_reading.open_log(Run.objects.get(), "load").has_end


def test_an_end_ahead_of_our_clock_is_not_looked_at_for_ever(ended, airflow):
    TaskInstance.objects.update(ended_at=timezone.now() + timedelta(hours=5))
    for _look in range(log_copy.MOST_LOOKS + 1):
        TaskLog.objects.filter(is_complete=False).update(next_attempt_at=timezone.now())
        row = look_again(0)
    assert row.is_complete
    assert airflow.calls.count("whole_log") <= log_copy.MOST_LOOKS


def test_a_log_that_is_gone_since_it_was_followed_keeps_what_is_here(task, airflow):
    run = Run.objects.get()
    log_reading.open_log(run, "load")
    sync.sync_logs()
    TaskInstance.objects.update(state="failed", ended_at=timezone.now())
    log_reading.open_log(run, "load")
    airflow.whole_log = lambda *_names, **_options: nullcontext(Nowhere())
    row = look_again(3600)
    assert (row.is_complete, row.n_lines, row.delivery_error) == (True, 2, Nowhere.trouble)
