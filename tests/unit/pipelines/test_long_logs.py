"""A log of any length: it opens at its end, is searched as a whole, and never travels whole."""

from datetime import UTC, datetime

import pytest

from pipelines import log_copy, spool
from pipelines.log_lines import LogLine
from pipelines.models import TaskLog
from pipelines.spool import FAULTS, Wanted
from tests.pipeline_rows import make_pipeline, make_run, make_task

AT = datetime(2026, 1, 1, tzinfo=UTC)
N = 5000


def line(number):
    """Most say their number; some are warnings, two are errors, one says something in Spanish."""
    said = {1200: "Código «raro»", 3000: "ValueError: first", 4000: 'KeyError: "second"'}
    level = "error" if number in {3000, 4000} else "warning" if number % 100 == 0 else "info"
    return LogLine(AT, level, said.get(number, f"Line {number} of the log, of the usual length"))


@pytest.fixture
def size(tmp_path, settings, monkeypatch):
    """The size of copy 1, which is read in many pieces."""
    settings.CONSOLE_VAR_DIR = tmp_path
    monkeypatch.setattr(spool, "PIECE_BYTES", 10_000)
    with spool.writing(1) as file:
        return spool.append(file, [line(number) for number in range(N)])


def found(size, **wanted):
    piece = spool.tail(1, size_bytes=size, limit=400, wanted=Wanted(**wanted))
    return [one.message for one in piece.lines]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("line 7 of", ["Line 7 of the log, of the usual length"]),
        ("LINE 4999", ["Line 4999 of the log, of the usual length"]),
        ('"SECOND"', ['KeyError: "second"']),
        ("CÓDIGO «r", ["Código «raro»"]),
        ("código", ["Código «raro»"]),
        ("info", []),  # a level is no text of the message
        ("nowhere", []),
    ],
)
def test_a_search_reads_all_of_it(size, text, messages):
    assert found(size, text=text) == messages


def test_levels_are_looked_for_in_all_of_it(size):
    assert found(size, levels=FAULTS) == ["ValueError: first", 'KeyError: "second"']
    assert len(found(size, levels=FAULTS | {"warning"})) == N / 100
    assert found(size, levels=FAULTS, text="value") == ["ValueError: first"]


def test_pieces_of_what_was_found_follow_one_another(size):
    wanted = Wanted(frozenset({"warning"}))
    last = spool.tail(1, size_bytes=size, limit=20, wanted=wanted)
    before = spool.tail(1, size_bytes=size, limit=20, before=last.start, wanted=wanted)
    first = spool.tail(1, size_bytes=size, limit=20, before=before.start, wanted=wanted)
    assert [len(piece.lines) for piece in (first, before, last)] == [8, 20, 20]
    assert first.start == 0
    assert before.lines[-1].message == "Line 2700 of the log, of the usual length"


def test_no_piece_is_longer_than_its_bound(size):
    for piece in (spool.read(1, start=0, size_bytes=size, limit=N), spool.tail(1, size_bytes=size, limit=N)):
        assert 50 < len(piece.lines) < 200
        assert 0 < piece.end - piece.start <= 10_100


def test_every_line_is_in_one_piece_when_read_backwards(size):
    place, seen = size, []
    while place:
        piece = spool.tail(1, size_bytes=size, limit=90, before=place)
        seen = piece.lines + seen
        place = piece.start
    assert seen == [line(number) for number in range(N)]


def test_a_line_longer_than_a_piece_is_read_whole_either_way(tmp_path, settings, monkeypatch):
    settings.CONSOLE_VAR_DIR = tmp_path
    monkeypatch.setattr(spool, "PIECE_BYTES", 1000)
    written = [
        LogLine(AT, "info", text) for text in ("first", "x" * 5000, "between", "y" * 20_000, "z" * 3000)
    ]
    with spool.writing(1) as file:
        size = spool.append(file, written)
    place, backwards = size, []
    while place:
        piece = spool.tail(1, size_bytes=size, limit=90, before=place)
        assert piece.lines
        backwards = piece.lines + backwards
        place = piece.start
    forwards = []
    while (piece := spool.read(1, start=place, size_bytes=size, limit=90)).lines:
        forwards += piece.lines
        place = piece.end
    assert backwards == forwards == written
    assert spool.tail(1, size_bytes=size, limit=9, wanted=Wanted(text="between")).lines == [written[2]]


def test_the_first_error_is_where_reading_begins(size):
    fault = spool.first_fault(1, size_bytes=size)
    assert spool.read(1, start=fault, size_bytes=size, limit=1).lines == [line(3000)]
    assert spool.first_fault(1, size_bytes=fault) is None
    assert spool.first_fault(2, size_bytes=size) is None


# --- on the page


@pytest.fixture
def log_url(page, size, real_redis):
    make_pipeline("etl")
    task = make_task(make_run("etl"), "load")
    row = TaskLog.objects.create(
        run=task.run, task_id="load", try_number=1, n_lines=N, size_bytes=size, is_complete=True
    )
    spool.path_of(1).rename(spool.path_of(row.pk))
    return f"/runs/{task.run_id}/tasks/load/log"


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["tasks/load/log", "log", ""])
def test_the_page_holds_the_end_of_it_only(page, log_url, where):
    run_url = log_url.removesuffix("/tasks/load/log")
    answer = page.get(f"{run_url}/{where}".rstrip("/"))
    assert answer.context["piece"].lines[-1] == line(N - 1)
    assert len(answer.context["piece"].lines) <= 400
    assert "Earlier lines" in answer.content.decode()
    assert len(answer.content) < 150_000


@pytest.mark.django_db
def test_the_page_opens_at_the_first_error_and_leads_on(page, log_url):
    answer = page.get(f"{log_url}?at=fault")
    piece, fault_at = answer.context["piece"], answer.context["fault_at"]
    assert (fault_at, piece.lines[fault_at]) == (20, line(3000))
    text = answer.content.decode()
    assert text.count('log-error"\n            aria-current="true"') == 1
    assert f"after={piece.end}" in text
    later = page.get(f"{log_url}?after={piece.end}").context["piece"]
    assert later.start == piece.end


@pytest.mark.django_db
def test_the_page_says_that_there_is_no_error(page, log_url):
    TaskLog.objects.update(size_bytes=spool.first_fault(TaskLog.objects.get().pk, size_bytes=10**9))
    answer = page.get(f"{log_url}?at=fault").content.decode()
    assert "No line of this log is at the level of an error" in answer


@pytest.mark.django_db
def test_the_page_narrows_the_log_and_keeps_what_was_asked_for(page, log_url):
    answer = page.get(f"{log_url}?q=first&level=error&wrap=0&try=1")
    assert answer.context["piece"].lines == [line(3000)]
    text = answer.content.decode()
    assert "that fits" in text
    for name, value in {"level": "error", "wrap": "0", "try": "1", "task": "load"}.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in text
    assert 'class="log no-wrap"' in text
    assert "lines fits." in page.get(f"{log_url}?q=nowhere").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", ["level=nope", "q=%00", "q=%F0%9F%92%A9", "at=nope", "after=3", "after=x", "wrap=x"]
)
def test_what_makes_no_sense_breaks_no_page(page, log_url, query):
    assert page.get(f"{log_url}?{query}").status_code in {200, 400, 422}


@pytest.mark.django_db
def test_a_long_copy_tells_its_watchers_now_and_then(size, told, django_capture_on_commit_callbacks):
    row = TaskLog.objects.create(run=make_run("etl"), task_id="load", try_number=1)
    with django_capture_on_commit_callbacks(execute=True):
        log_copy.copy(row, (line(number) for number in range(N)))
    assert row.n_lines == N
    assert len(told) <= 4
