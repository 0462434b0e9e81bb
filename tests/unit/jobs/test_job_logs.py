"""A job's log: bounded on disk, read by byte cursors in whole characters."""

import contextlib

import pytest
from django.utils import timezone

from core.lib.errors import NotFound
from jobs import launching, log_file, logs
from jobs.log_file import Writer
from jobs.models import Job, JobState
from tests.unit.jobs.conftest import attend, ended, make_job


@pytest.fixture
def job(job_folders):
    job = Job(app="clean_trips", state=JobState.RUNNING)
    job.folder.path.mkdir(parents=True)
    return job


def everything(job: Job) -> str:
    text, cursor = "", 0
    while (piece := logs.read(job, cursor)).next_cursor > cursor:
        text, cursor = text + piece.text, piece.next_cursor
    return text


@pytest.mark.parametrize("n_bytes", range(1, 12))
def test_log_is_read_in_whole_characters(job, monkeypatch, n_bytes):
    text = "añ€😀z" * 3
    job.folder.log.write_text(text)
    monkeypatch.setattr(logs, "LARGEST_PIECE_BYTES", max(n_bytes, logs.LONGEST_CHARACTER))
    assert everything(job) == text


def test_character_that_is_half_written_comes_later(job):
    job.folder.log.write_bytes("a€".encode()[:-1])
    assert logs.read(job, 0) == ("a", 1, False)
    job.folder.log.write_bytes("a€".encode())
    assert logs.read(job, 1) == ("€", 4, False)


def test_bytes_that_are_no_text_do_not_hold_up_the_reader(job):
    job.folder.log.write_bytes(b"\xff\xfe\x80\x80\x80\x80 end \xe2")
    job.state = JobState.FAILED
    assert logs.read(job, 0).is_end
    assert everything(job).endswith(" end \N{REPLACEMENT CHARACTER}")


def test_log_is_at_its_end_when_the_job_ended_and_all_is_read(job):
    job.folder.log.write_text("one")
    assert logs.read(job, 3) == ("", 3, False)
    job.state = JobState.SUCCEEDED
    assert logs.read(job, 0) == ("one", 3, True)
    assert logs.read(job, 100) == ("", 100, True)


@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_end_of_a_line_longer_than_a_piece_is_shown_and_leads_back(job, ending):
    text = "first\n" + "é" * 100_001 + ending
    job.folder.log.write_text(text)
    found, before = "", None
    for _page in range(5):
        tail = logs.tail(job, before=before)
        found, before = tail.text + found, tail.start
    assert (found, before) == (text, 0)


def test_the_log_of_an_earlier_try_stays_readable(job):
    job.folder.log.write_text("the disk is away")
    job.attempt = 2
    assert logs.read(job) == ("", 0, False)
    assert logs.read(job, attempt=1) == ("the disk is away", 16, True)
    assert logs.tail(job, attempt=1).text == "the disk is away"
    with pytest.raises(NotFound, match="no try 3; it had 2"):
        logs.read(job, attempt=3)


def test_log_of_a_job_that_has_not_started_is_empty(job):
    assert logs.read(job, 0) == ("", 0, False)


def test_cleared_log_says_when(job):
    job.cleared_at = timezone.now()
    with pytest.raises(NotFound, match="was cleared on"):
        logs.read(job, 0)


def backwards(job: Job) -> str:
    text, before = "", None
    while before != 0:
        tail = logs.tail(job, before=before)
        text, before = tail.text + text, tail.start
    return text


@pytest.fixture
def writer_of():
    """Makes writers of a job's log, with a limit in bytes; closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda job, limit: stack.enter_context(contextlib.closing(Writer(job.folder.log, limit)))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(logs, "LARGEST_PIECE_BYTES", 64)


@pytest.mark.usefixtures("small_pieces")
def test_a_log_beyond_its_limit_shows_its_newest_lines_while_it_grows(job, writer_of):
    """200 bytes of the beginning, then parts of 100: the newest line is there after each one written."""
    writer = writer_of(job, 400)
    for number in range(1_000):
        writer.write(b"line %04d\n" % number)
        assert logs.tail(job).text.endswith(f"line {number:04}\n")
    assert sum(path.stat().st_size for path in job.folder.path.glob("log*")) <= 400
    for whole in (everything(job), backwards(job)):
        first, _note, rest = whole.partition("\n[... ")
        n_left_out, _words, last = rest.partition(" bytes are left out here ...]\n")
        assert first == "".join(f"line {number:04}\n" for number in range(20))
        assert "".join(f"line {number:04}\n" for number in range(1_000)).endswith(last)
        assert len(first) + int(n_left_out) + len(last) == 10_000
        assert len(last) > 100


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("n_bytes", range(1, 5))
def test_a_character_over_two_parts_is_whole_and_one_that_is_torn_holds_up_nobody(job, writer_of, n_bytes):
    writer = writer_of(job, 44)
    text = "a" * n_bytes + "€" * 11
    writer.write(text.encode())
    assert everything(job) == backwards(job) == text
    writer.write("€".encode() * 40)
    job.state = JobState.SUCCEEDED
    for whole in (everything(job), backwards(job)):
        assert whole.startswith("a" * n_bytes)
        assert whole.endswith("€€")
        assert "bytes are left out here" in whole


def test_what_a_full_disk_does_not_take_is_left_out_and_said(job, writer_of, monkeypatch):
    writer = writer_of(job, 4000)
    writer.write(b"before\n")
    with open("/dev/full", "ab", buffering=0) as full, monkeypatch.context() as patch:
        patch.setattr(writer, "_stream", full)
        writer.write(b"12345")
    writer.write(b"after\n")
    assert everything(job) == backwards(job) == "before\n\n[... 5 bytes are left out here ...]\nafter\n"


def test_a_part_that_goes_while_it_is_read_is_told_as_left_out(job, writer_of, monkeypatch):
    writer = writer_of(job, 40)
    writer.write(b"0123456789" * 3)
    found = log_file._runs(job.folder.log)
    (job.folder.path / "log.20").rename(job.folder.path / "gone")
    answers = [found]
    runs = log_file._runs
    monkeypatch.setattr(log_file, "_runs", lambda path: answers.pop() if answers else runs(path))
    assert logs.read(job, 5) == ("567890123456789", 20, False)


def test_log_that_fits_is_whole(job, writer_of):
    writer = writer_of(job, 8)
    writer.write(b"one, ")
    writer.write(b"two")
    assert everything(job) == "one, two"


@pytest.mark.django_db
def test_log_of_a_talkative_driver_stays_bounded(program, monkeypatch):
    monkeypatch.setattr(launching, "LARGEST_LOG_BYTES", 1000)
    program.does("for n in range(200_000): print('line', n)\nfinish({})")
    job = ended(attend(make_job()))
    assert job.state == "succeeded"
    assert sum(path.stat().st_size for path in job.folder.path.glob("log*")) <= 1000
    assert everything(job).endswith("line 199999\n")
