"""How a job ended, from the files that its processes left."""

import json
from types import SimpleNamespace

import pytest
from django.utils import timezone

from jobs.folders import Folder
from jobs.models import Job
from jobs.outcomes import error_in, outcome
from jobs.spark_apps import running

SPARK_LOG = """\
26/11/21 06:49:37 INFO SparkContext: Running Spark version 4.2.0
Traceback (most recent call last):
  File "/app/clean_trips.py", line 12, in main
    frame = spark.read.parquet(source)
py4j.protocol.Py4JJavaError: An error occurred while calling o42.parquet.
: java.io.IOException: no room
\tat java.base/java.lang.Thread.run(Thread.java:840)
26/11/21 06:49:40 INFO ShutdownHookManager: Shutdown hook called
"""


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def ended_with(folder, code, *, result=None, log="", **job):
    folder.write("exit.json", {"code": code, "is_stopped": False, "ended_at": 1.0})
    if result is not None:
        folder.result.write_text(result)
    folder.log.write_text(log)
    return outcome(Job(app="clean_trips", **job), folder)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, "It left no result (No such file or directory)."),
        ("{", "Its result is no JSON: Expecting property name"),
        ("[1]", "Its result is no JSON object, or holds a NUL character."),
        (json.dumps({"a": "\0"}), "Its result is no JSON object, or holds a NUL character."),
        (json.dumps({"a": float("nan")}), "Its result is no JSON: Out of range float values"),
        ('{"a": 1e999}', "Its result is no JSON: Out of range float values"),
        (r'{"a": "\ud800"}', "Its result is no JSON: 'utf-8' codec can't encode"),
        ('{"a":' * 100 + "1" + "}" * 100, "The JSON is nested more than 64 levels"),
        ("[" * 100_000, "Its result is no JSON: maximum recursion depth exceeded"),
        (json.dumps({"a": "x" * 300_000}), "Its result has more than 256 KiB."),
    ],
)
def test_driver_that_ends_well_fails_without_a_sound_result(folder, result, error):
    found = ended_with(folder, 0, result=result)
    assert (found.state, found.result) == ("failed", None)
    assert found.error.startswith(error)


def test_error_is_the_last_exception_in_its_own_words(folder):
    found = ended_with(folder, 1, log=SPARK_LOG)
    assert found.error == (
        "py4j.protocol.Py4JJavaError: An error occurred while calling o42.parquet.\n"
        ": java.io.IOException: no room"
    )


def test_error_is_the_end_of_the_log_without_an_exception():
    assert error_in("one\ntwo\n\nthree\nfour\nfive\nsix\n") == "two\nthree\nfour\nfive\nsix"


def test_error_says_the_exit_status_when_the_log_is_empty(folder):
    assert ended_with(folder, 3).error == "The driver ended with exit status 3."


def test_error_is_bounded_and_storable(folder):
    error = ended_with(folder, 1, log="x" * 100_000 + "\0").error
    assert len(error) == 2000
    assert "\0" not in ended_with(folder, 1, log="a\0b").error


def test_driver_killed_by_a_signal_without_a_name_has_failed(folder):
    assert ended_with(folder, -40).error == "The driver was killed (40)."


def test_cancelled_job_that_had_finished_has_succeeded(folder):
    found = ended_with(folder, 0, result='{"n": 1}', cancel_asked_at=timezone.now())
    assert (found.state, found.result) == ("succeeded", {"n": 1})
    assert ended_with(folder, 143, cancel_asked_at=timezone.now()).state == "cancelled"


def test_job_without_a_note_about_its_end_is_lost(folder):
    assert outcome(Job(), folder).state == "lost"


def test_a_driver_that_waits_for_executors_ends_in_words(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(running, "LOOKS_EVERY_S", 0.01)
    monkeypatch.setattr(running.os, "_exit", ended.append)
    context = SimpleNamespace(master="spark://m:7077", _jsc=Jsc(n_known=1))
    running._require_executors(SimpleNamespace(sparkContext=context), 0.05)
    assert ended == [1]
    log = capsys.readouterr().err + "26/11/29 17:45:13 INFO SparkContext: Successfully stopped SparkContext\n"
    assert error_in(log).startswith(
        "jobs.spark_apps.running.NoExecutors: spark://m:7077 gave no executor for 0 s"
    )


def test_a_driver_with_executors_goes_on_until_its_session_ends(monkeypatch):
    monkeypatch.setattr(running, "LOOKS_EVERY_S", 0.01)
    monkeypatch.setattr(running.os, "_exit", lambda code: pytest.fail("it was ended"))
    context = SimpleNamespace(master="spark://m:7077", _jsc=Jsc(n_known=2, n_looks=20))
    running._require_executors(SimpleNamespace(sparkContext=context), 0.05)


@pytest.mark.parametrize(("said", "seconds"), [({}, 60), ({"spark.atalaya.executorsWithin": "300"}, 300)])
def test_a_target_says_how_long_a_job_waits_for_executors(said, seconds):
    context = SimpleNamespace(getConf=lambda: said)
    assert running._executors_within_s(SimpleNamespace(sparkContext=context)) == seconds


def test_a_wait_for_executors_that_is_no_number_is_named():
    context = SimpleNamespace(getConf=lambda: {"spark.atalaya.executorsWithin": "5m"})
    with pytest.raises(ValueError, match="executorsWithin is '5m': it must be a number of seconds"):
        running._executors_within_s(SimpleNamespace(sparkContext=context))


class Jsc:
    """Spark's context in Java, which knows so many block managers for so many looks, then is stopped."""

    def __init__(self, n_known, n_looks=10**6):
        self.n_known, self.n_looks = n_known, n_looks

    def sc(self):
        self.n_looks -= 1
        if self.n_looks < 0:
            raise RuntimeError("the context is stopped")
        return self

    def getExecutorMemoryStatus(self):
        return self

    def size(self):
        return self.n_known
