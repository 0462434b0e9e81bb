import json
import re
import stat

import pytest

from stack import airflow, config, course_api
from stack.config import REPO
from stack.errors import StackError
from usecases.course_api.__main__ import OFFSET


def made(tmp_path, text: str = "", **environ: str) -> config.Config:
    (tmp_path / ".env").write_text(text)
    return config.from_environment(environ, dotenv=tmp_path / ".env")


def test_defaults_are_the_checkouts_own_folder_and_port_8000(tmp_path):
    found = made(tmp_path)
    assert (found.var_dir, found.venv_dir) == (REPO / "var", REPO / "var" / "venv")
    assert (found.port("web"), found.port("airflow"), found.bind) == (8000, 8015, "127.0.0.1")


def test_environment_wins_over_dotenv(tmp_path):
    text = "CONSOLE_PORT_BASE=9000\nCONSOLE_DATA_DIR='/a folder'  \n# CONSOLE_BIND=::1\n"
    assert made(tmp_path, text).port_base == 9000
    assert made(tmp_path, text).settings == {"CONSOLE_DATA_DIR": "/a folder"}
    assert made(tmp_path, text, CONSOLE_PORT_BASE="9100").port_base == 9100


@pytest.mark.parametrize("said", ["eight", "80", "65500", "-1", "8000.0"])
def test_port_base_that_cannot_be_is_refused(tmp_path, said: str):
    with pytest.raises(StackError, match="CONSOLE_PORT_BASE"):
        made(tmp_path, CONSOLE_PORT_BASE=said)


def test_start_timeout_of_nothing_is_refused(tmp_path):
    with pytest.raises(StackError, match="CONSOLE_START_TIMEOUT_S"):
        made(tmp_path, CONSOLE_START_TIMEOUT_S="0")


def test_saved_stack_is_loaded_as_it_was(tmp_path):
    saved = made(tmp_path, CONSOLE_VAR_DIR=str(tmp_path / "a stack"), CONSOLE_DATA_DIR="/data")
    saved.save()
    assert config.load(tmp_path / "a stack") == saved


def test_no_stack_is_loaded_where_none_was_started(tmp_path):
    assert config.load(tmp_path) is None


def test_secrets_are_made_once_and_for_their_owner(tmp_path):
    first = made(tmp_path, CONSOLE_VAR_DIR=str(tmp_path)).secrets
    assert first == made(tmp_path, CONSOLE_VAR_DIR=str(tmp_path)).secrets
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len(set(first.values())) == len(first)


def test_every_setting_of_the_console_is_in_the_example():
    documented = set(
        re.findall(r"^#?((?:CONSOLE|PROMETHEUS)_\w+)=", (REPO / ".env.example").read_text(), re.M)
    )
    sources = [REPO / "console" / "settings.py", *(REPO / "stack").glob("*.py")]
    used = {name for path in sources for name in re.findall(r'"(CONSOLE_[A-Z_]*[A-Z])"', path.read_text())}
    assert used - documented == set()


def test_stack_of_another_release_is_loaded_as_far_as_it_is_known(tmp_path):
    saved = made(tmp_path, CONSOLE_VAR_DIR=str(tmp_path))
    saved.save()
    path = tmp_path / "run" / "stack.json"
    values = json.loads(path.read_text()) | {"of_a_later_release": 1}
    del values["start_timeout_s"]
    path.write_text(json.dumps(values))
    assert config.load(tmp_path) == saved


def test_course_api_is_told_its_own_settings_and_no_secret(tmp_path):
    found = made(tmp_path, "COURSE_API_WAIT_S=7", CONSOLE_DATA_DIR="/data", CONSOLE_SECRET_KEY="s" * 50)
    told = course_api.PART.program(found).environment
    assert (told["COURSE_API_WAIT_S"], told["CONSOLE_DATA_DIR"]) == ("7", "/data")
    assert "CONSOLE_SECRET_KEY" not in told
    assert found.port(course_api.PART.port) == int(told["CONSOLE_PORT_BASE"]) + OFFSET


@pytest.mark.parametrize(
    ("public", "called"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"CONSOLE_PUBLIC_URL": "http://console.example.org"}, "http://127.0.0.1:8000"),
        ({"CONSOLE_PUBLIC_URL": "https://console.example.org"}, "https://console.example.org"),
    ],
)
def test_pipelines_call_the_console_where_it_sends_them_nowhere_else(tmp_path, public, called):
    found = made(tmp_path, CONSOLE_VAR_DIR=str(tmp_path), **public)
    assert airflow.environment(found)["ATALAYA_URL"] == called
