"""A file is replaced in one step or not at all."""

import stat

import pytest

from core.lib import files


def test_a_file_is_replaced_and_its_owners_alone(tmp_path):
    path = tmp_path / "new" / "keys.json"
    files.write_whole(path, b"old")
    files.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    files.write_whole(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_nothing_of_what_it_wrote(tmp_path):
    path = tmp_path / "day.ndjson"
    with pytest.raises(TypeError), files.whole(path) as part:
        part.write_text(7)
    assert list(tmp_path.iterdir()) == []
    with files.whole(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
