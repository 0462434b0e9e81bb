"""Secrets that come from files: FOO_FILE in place of FOO."""

import ast
import json
import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from core.lib import env, secret_files
from core.lib.env import REPO
from stack import config, nowhere
from stack.errors import StackError

NAME = "CONSOLE_SECRET_KEY"


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Puts content into a file that NAME_FILE names, and nothing into NAME."""

    def put(content: bytes) -> None:
        path = tmp_path / "secret"
        path.write_bytes(content)
        monkeypatch.delenv(NAME, raising=False)
        monkeypatch.setenv(f"{NAME}_FILE", str(path))

    return put


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s3cret \n\n", " s3cret \n"),  # one line break is the editor's, the rest is the secret's
        ("contraseña".encode(), "contraseña"),
    ],
)
def test_secret_is_read_without_its_last_line_break(told, content: bytes, value: str):
    told(content)
    assert env.text(NAME) == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b" \r\n", "is empty"),
        (b"\xff\xfe", "no UTF-8"),
        (b"x" * (secret_files.LARGEST_BYTES + 1), "too large"),
    ],
)
def test_file_that_holds_no_secret_is_refused(told, content: bytes, words: str):
    told(content)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE names .*{words}"):
        env.text(NAME)


def test_missing_file_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match=f"{tmp_path}/none, which is not there"):
        env.text(NAME)


def test_folder_in_place_of_a_file_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path))
    with pytest.raises(ImproperlyConfigured, match="cannot be read: Is a directory"):
        env.text(NAME)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_file_of_somebody_else_cannot_be_read(told, tmp_path):
    told(b"s3cret")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(ImproperlyConfigured, match="cannot be read: Permission denied"):
        env.text(NAME)


def test_both_are_refused_and_neither_is_quoted(told, monkeypatch):
    told(b"s3cret")
    monkeypatch.setenv(NAME, "an0ther")
    with pytest.raises(ImproperlyConfigured, match="both set") as caught:
        env.text(NAME)
    assert "s3cret" not in str(caught.value)
    assert "an0ther" not in str(caught.value)


def test_empty_variable_beside_a_file_counts_as_none(told, monkeypatch):
    told(b"s3cret")
    monkeypatch.setenv(NAME, "")
    assert env.text(NAME) == "s3cret"


def test_json_comes_from_a_file_too(monkeypatch, tmp_path):
    (tmp_path / "kafka.json").write_text('{"sasl.password": "s3cret"}\n')
    monkeypatch.delenv("CONSOLE_KAFKA_CONFIG", raising=False)
    monkeypatch.setenv("CONSOLE_KAFKA_CONFIG_FILE", str(tmp_path / "kafka.json"))
    assert env.json_value("CONSOLE_KAFKA_CONFIG", "{}") == {"sasl.password": "s3cret"}


def test_file_that_is_named_wins_over_what_make_up_wrote(told, monkeypatch, tmp_path):
    told(b"s3cret")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "console.env").write_text(f"{NAME}=generated\n")
    env.load_file(tmp_path / "console.env")
    assert env.text(NAME) == "s3cret"


def test_the_stack_reads_files_and_hands_values_on(tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    environ = {"CONSOLE_VAR_DIR": str(tmp_path), f"{NAME}_FILE": str(tmp_path / "key")}
    assert config.from_environment(environ, dotenv=tmp_path / ".env").settings == {NAME: "s3cret"}
    with pytest.raises(StackError, match="both set"):
        config.from_environment(environ | {NAME: "x"}, dotenv=tmp_path / ".env")


def test_every_secret_that_the_settings_read_may_come_from_a_file(tmp_path):
    """All of them at once, each as a file, in a process of its own."""
    known = nowhere.settings(tmp_path)
    values = {
        **{name: f"{name.lower()}-{'x' * 64}" for name in secret_files.SETTINGS},
        "CONSOLE_DATABASE_URL": known["CONSOLE_DATABASE_URL"],
        "CONSOLE_USECASES_DATABASE_URL": known["CONSOLE_USECASES_DATABASE_URL"],
        "CONSOLE_KAFKA_CONFIG": '{"client.rack": "a"}',
        "CONSOLE_SPARK_TARGETS": "{}",
        "CONSOLE_SPARK_CONF": '{"a": "b"}',
    }
    environ = {name: value for name, value in known.items() if name not in values}
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    code = (
        "import json; from console import settings as s; d = s.DATABASES; print(json.dumps([s.SECRET_KEY,"
        " s.CONSOLE_RECORD_SECRETS, d['default']['NAME'], d['usecases']['NAME'], s.CONSOLE_REDIS_URL,"
        " s.CONSOLE_KAFKA_CONFIG, s.CONSOLE_MLFLOW_PASSWORD, s.CONSOLE_AIRFLOW_JWT_SECRET,"
        " s.CONSOLE_AIRFLOW_PASSWORD, s.CONSOLE_SPARK_AUTH_SECRET, s.CONSOLE_SPARK_TARGETS,"
        " s.CONSOLE_SPARK_CONF]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=environ, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [
        values["CONSOLE_SECRET_KEY"],
        values["CONSOLE_RECORD_SECRETS"],
        "console",
        "usecases",
        values["CONSOLE_REDIS_URL"],
        {"client.rack": "a"},
        values["CONSOLE_MLFLOW_PASSWORD"],
        values["CONSOLE_AIRFLOW_JWT_SECRET"],
        values["CONSOLE_AIRFLOW_PASSWORD"],
        values["CONSOLE_SPARK_AUTH_SECRET"],
        {},
        {"a": "b"},
    ]


def test_no_setting_that_sounds_secret_is_left_out():
    tree = ast.parse((REPO / "console" / "settings.py").read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    names = {text for text in texts if isinstance(text, str) and text.startswith("CONSOLE_")}
    secret = {name for name in names if any(word in name for word in ("SECRET", "PASSWORD", "KEY"))}
    assert len(secret) > 4
    assert secret - set(secret_files.SETTINGS) == set()
