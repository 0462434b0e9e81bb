"""A job's log: bounded on disk, read by byte cursors in whole characters."""

import pytest
from django.utils import timezone

from core.lib.errors import NotFound
from jobs import launching, logs
from jobs.launcher import KEPT_TAIL_BYTES, Log
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


def test_log_keeps_its_beginning_and_its_last_lines(tmp_path):
    log = Log(tmp_path / "log", 100)
    for number in range(20_000):
        log.write(b"line %d\n" % number)
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("line 0", "line 19999")
    assert "bytes are left out here" in "".join(lines)
    assert (tmp_path / "log").stat().st_size < 100 + KEPT_TAIL_BYTES + 100


def test_log_that_fits_is_whole(tmp_path):
    log = Log(tmp_path / "log", 3)
    log.write(b"one, ")
    log.write(b"two")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"one, two"


@pytest.mark.django_db
def test_log_of_a_talkative_driver_stays_bounded(program, monkeypatch):
    monkeypatch.setattr(launching, "LARGEST_LOG_BYTES", 1000)
    program.does("for n in range(200_000): print('line', n)\nfinish({})")
    job = ended(attend(make_job()))
    assert job.state == "succeeded"
    assert job.folder.log.stat().st_size < 1000 + KEPT_TAIL_BYTES + 100
    assert everything(job).endswith("line 199999\n")
