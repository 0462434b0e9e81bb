"""Databases are brought up to the code by one at a time, and one that is newer is left alone."""

import io
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from console import upgrade
from core.lib.errors import Conflict
from stack import compose_setup, set_up_console

both = pytest.mark.django_db(databases=["default", "usecases"])


def newer(app: str = "streaming", *, alias: str = "default") -> None:
    MigrationRecorder.Migration.objects.using(alias).create(app=app, name="0099_from_the_future")


@both
def test_what_is_up_to_date_stays_so():
    said = io.StringIO()
    call_command("upgrade_databases", stdout=said)
    assert said.getvalue().count("No migrations to apply") == 2


@both
@pytest.mark.parametrize(("alias", "app"), [("default", "streaming"), ("usecases", "usecases")])
def test_database_newer_than_the_code_is_refused_before_either_is_changed(monkeypatch, alias, app):
    newer(app, alias=alias)
    monkeypatch.setattr(upgrade, "call_command", lambda *_words, **_options: pytest.fail("it migrates"))
    with pytest.raises(CommandError, match=rf"{app}\.0099_from_the_future") as found:
        call_command("upgrade_databases")
    words = str(found.value)
    assert connections[alias].settings_dict["NAME"] in words
    assert "Install the newer release again, or restore a backup" in words


@both
def test_many_that_are_not_known_are_counted(monkeypatch):
    for app in ("streaming", "jobs", "pipelines", "predictions", "demo"):
        newer(app)
    with pytest.raises(CommandError, match=r"demo\S+, jobs\S+, pipelines\S+ and 2 more"):
        call_command("upgrade_databases")


@both
def test_make_up_says_so_without_a_traceback(monkeypatch, capsys):
    newer()
    monkeypatch.setattr(set_up_console.django, "setup", lambda: None)
    assert set_up_console.main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("The database ")
    assert "streaming.0099_from_the_future" in said.err


@both
def test_setup_of_the_compose_file_says_so(monkeypatch, capsys):
    newer()
    monkeypatch.setattr(set_up_console.django, "setup", lambda: None)
    values = connection.settings_dict
    url = f"postgresql://{values['USER']}@/{values['NAME']}?host={values['HOST']}&port={values['PORT']}"
    assert compose_setup.main({"CONSOLE_DATABASE_URL": url}) == 1
    assert "setup: The database" in capsys.readouterr().err


@both
def test_who_comes_second_waits_for_the_first(monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(upgrade, "call_command", lambda name, *_words, **_options: done.append(name))
    monkeypatch.setattr(upgrade, "_refuse_newer", lambda _alias: None)
    second = threading.Thread(target=upgrade.run, kwargs={"stdout": io.StringIO()})
    with upgrade._alone():
        second.start()
        second.join(0.3)
        assert (second.is_alive(), done) == (True, [])
    second.join(10)
    assert done == ["migrate", "migrate"]


@pytest.mark.django_db(databases=["default", "usecases"], transaction=True)
def test_who_waits_for_one_that_does_not_end_is_told_so(monkeypatch):
    monkeypatch.setattr(upgrade, "WAITS_FOR_ANOTHER_S", 1)
    with upgrade._alone(), pytest.raises(Conflict, match="Another set-up has been at work"):
        upgrade.run(stdout=io.StringIO())
