"""What `make up` refuses before it starts anything."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from stack import up
from stack.config import Config
from stack.errors import StackError


@pytest.fixture
def site(tmp_path):
    return Config(var_dir=tmp_path / "var", venv_dir=tmp_path / "venv", port_base=8000)


@pytest.mark.parametrize(("free_mb", "is_refused"), [(0, True), (499, True), (500, False)])
def test_a_volume_that_is_full_is_said_with_what_is_needed(site, monkeypatch, free_mb, is_refused):
    monkeypatch.setattr(up.shutil, "disk_usage", lambda _path: SimpleNamespace(free=free_mb * up.MB))
    if not is_refused:
        up._require_room(site)
        return
    with pytest.raises(StackError) as found:
        up.up(site, [])
    assert str(found.value) == f"The disk of {site.var_dir} has {free_mb} MB left; 500 MB are needed."


def test_a_volume_that_takes_nothing_more_is_said(site, monkeypatch):
    def full(_path, _text):
        raise OSError(28, "No space left on device", "probe")

    monkeypatch.setattr(up, "write_whole", full)
    with pytest.raises(StackError, match=r"Cannot write to .*var: No space left on device \(probe\)"):
        up.up(site, [])


def test_a_folder_that_cannot_be_made_is_named_with_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    site = Config(var_dir=tmp_path / "file" / "var", venv_dir=tmp_path / "venv", port_base=8000)
    with pytest.raises(StackError, match="CONSOLE_VAR_DIR names another place"):
        up.up(site, [])


def test_a_setting_that_changed_while_the_stack_runs_is_named_and_not_its_value(site):
    before = {"CONSOLE_SESSIONS_KEEP_DAYS": "7", "CONSOLE_EMAIL_URL": "smtp://mail.example"}
    replace(site, settings=before).save()
    up._require_same_settings(replace(site, settings=dict(before)))
    now = {**before, "CONSOLE_EMAIL_URL": "smtp://ana:geheim@mail.example", "CONSOLE_DATA_DIR": "/data"}
    with pytest.raises(StackError) as found:
        up._require_same_settings(replace(site, settings=now, bind="0.0.0.0"))
    assert "(CONSOLE_BIND, CONSOLE_DATA_DIR, CONSOLE_EMAIL_URL): `make down` first" in str(found.value)
    with pytest.raises(StackError, match=r"\(CONSOLE_EMAIL_URL, CONSOLE_SESSIONS_KEEP_DAYS\)"):
        up._require_same_settings(site)


def test_a_stack_that_was_never_started_has_no_other_settings(site):
    up._require_same_settings(site)
