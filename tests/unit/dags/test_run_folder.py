"""Folders of runs: old ones go, whoever else removes or opens them meanwhile."""

import os
import shutil
import time
from pathlib import Path

import pytest

from dags.recipes.common import run_folder
from dags.recipes.common.run_folder import DagRun


@pytest.fixture(autouse=True)
def base(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path))
    return tmp_path / "d"


def run(number: int, *, days_ago: int) -> Path:
    folder = DagRun("d", f"manual__{number}", {}).folder
    folder.write_json("source.json", {"number": number})
    at = time.time() - days_ago * 24 * 3600
    os.utime(folder.path, (at, at))
    return folder.path


def test_folders_of_runs_long_past_go_and_others_stay(base):
    old, new = run(1, days_ago=8), run(2, days_ago=6)
    assert run_folder.remove_old("d") == 1
    assert (old.exists(), list(base.iterdir())) == (False, [new])


def test_an_old_run_that_is_cleared_keeps_its_files(base):
    old = run(1, days_ago=8)
    folder = DagRun("d", "manual__1", {}).folder  # a task of it begins
    assert run_folder.remove_old("d") == 0
    assert (folder.path, folder.read_json("source.json")) == (old, {"number": 1})


@pytest.mark.parametrize("when", ["before it is looked at", "before it is renamed"])
def test_two_runs_may_remove_the_same_folders(base, monkeypatch, when):
    """The other one is faster by a moment."""
    old = run(1, days_ago=8)
    where, name = (run_folder.time, "time") if when == "before it is looked at" else (Path, "rename")
    ours = getattr(where, name)

    def other_first(*args):
        shutil.rmtree(old)
        return ours(*args)

    monkeypatch.setattr(where, name, other_first)
    assert run_folder.remove_old("d") == 0
    assert list(base.iterdir()) == []


def test_what_a_sweep_that_was_killed_left_goes_with_the_next(base, monkeypatch):
    run(1, days_ago=8)
    with monkeypatch.context() as killed:
        killed.setattr(run_folder.shutil, "rmtree", lambda path: None)
        run_folder.remove_old("d")
    assert len(list(base.iterdir())) == 1
    run_folder.remove_old("d")
    assert list(base.iterdir()) == []
