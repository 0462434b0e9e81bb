"""Removing a stack whose environment lies in its own folder."""

from types import SimpleNamespace

from stack import account, down


def test_reset_asks_what_is_installed_before_it_removes_it(tmp_path, monkeypatch):
    var, copy = tmp_path / "var", tmp_path / "copy"
    package = var / "venv" / "package"
    for folder in (package, copy):
        folder.mkdir(parents=True)

    def installed():
        assert package.exists(), "it is gone already"
        return package

    monkeypatch.setattr(down, "stop", lambda _config: None)
    monkeypatch.setattr(down.postgres, "package", installed)
    monkeypatch.setattr(account, "refuge", lambda folder: copy if folder == package else tmp_path / "none")
    down.reset(SimpleNamespace(var_dir=var, venv_dir=var / "venv"))
    assert not var.exists()
    assert not copy.exists()
