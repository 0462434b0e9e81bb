"""What `make up` refuses before it starts anything."""

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
