"""What the parts of a stack ask each other for, and that it goes to nobody else."""

import configparser
import json
import stat
import sys
from pathlib import Path

import pytest

from stack import config, supervisor
from stack.errors import StackError

VENVS = Path(sys.prefix).parent  # the console's, where supervisord is, and Airflow's


@pytest.fixture
def site(tmp_path):
    """Makes the stack of a caller who said these settings."""

    def made(**said: str) -> config.Config:
        environ = {"CONSOLE_VAR_DIR": str(tmp_path), "CONSOLE_VENV_DIR": str(VENVS), **said}
        found = config.from_environment(environ, dotenv=tmp_path / ".env")
        found.run_dir.mkdir(parents=True, exist_ok=True)
        found.logs_dir.mkdir(exist_ok=True)
        return found

    return made


# --- the supervisor


@pytest.fixture
def running(site):
    """Starts a supervisor without programs."""
    started = []

    def start(*, has_password: bool = True, **said: str) -> config.Config:
        made = site(**said)
        supervisor.write_file(made, [])
        if not has_password:
            path = made.run_dir / "supervisord.conf"
            lines = path.read_text().splitlines()
            path.write_text(
                "\n".join(line for line in lines if not line.startswith(("username", "password")))
            )
        supervisor.start(made)
        started.append(made)
        return made

    yield start
    for made in started:
        supervisor.shut_down(made, last=())


def test_supervisor_answers_nobody_without_its_password(running):
    made = running()
    assert supervisor.is_running(made)
    assert not supervisor.asks_for_no_password(made)
    made.secrets["supervisor"] = "another"
    with pytest.raises(StackError, match="other secrets"):
        supervisor.is_running(made)
    made.secrets.update(json.loads((made.var_dir / "secrets.json").read_text()))


def test_supervisor_of_an_earlier_release_is_known_and_can_be_ended(running):
    made = running(has_password=False)
    assert supervisor.asks_for_no_password(made)
    assert supervisor.is_running(made)
    supervisor.shut_down(made, last=())
    assert not supervisor.is_running(made)
    assert not supervisor.asks_for_no_password(made)


def test_file_of_the_supervisor_is_private_and_holds_no_more_than_a_hash(site):
    made = site()
    supervisor.write_file(made, [])
    path = made.run_dir / "supervisord.conf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.secrets["supervisor"] not in path.read_text()
    parser = configparser.ConfigParser()
    parser.read(path)
    assert parser["unix_http_server"]["password"].startswith("{SHA}")
    assert parser["supervisord"]["umask"] == "077"  # also of what the parts write
