"""System checks: each value that cannot work is named, with what to write instead."""

import os
import subprocess
import sys

import pytest
from django.conf import settings as django_settings

from console import checks
from core.lib import env


def ids(**_kwargs):
    return {message.id for message in checks.check_settings(None)}


def test_settings_of_the_tests_are_sound():
    assert ids() == set()


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("CONSOLE_AIRFLOW_URL", "127.0.0.1:8015", "console.E001"),
        ("CONSOLE_MLFLOW_URL", "http://", "console.E001"),
        ("CONSOLE_SERVING_URL", "http://127.0.0.1:8001/", "console.E002"),
        ("CONSOLE_PUBLIC_URL", "https://atalaya.example", "console.E003"),
        ("CONSOLE_AIRFLOW_JWT_SECRET", "x" * 63, "console.E004"),
        ("CONSOLE_AIRFLOW_AUTH", "service", "console.E005"),
        ("CONSOLE_AIRFLOW_AUTH", "none", "console.E006"),
        ("CONSOLE_REDIS_URL", "127.0.0.1:6379", "console.E007"),
        ("CONSOLE_MLFLOW_USERNAME", "console", "console.E015"),
        ("CONSOLE_MLFLOW_PASSWORD", "secret", "console.E015"),
        ("CONSOLE_KAFKA_CONFIG", ["a"], "console.E008"),
        ("CONSOLE_KAFKA_CONFIG", {"sasl": {"user": "x"}}, "console.E008"),
        ("CONSOLE_SPARK_CONF", {"spark.ui.enabled": True}, "console.E011"),
        ("CONSOLE_JOBS_AT_ONCE", 21, "console.E012"),
        ("CONSOLE_JOBS_AT_ONCE", 0, "console.E012"),
        ("CONSOLE_JOBS_LONGEST_HOURS", 0, "console.E014"),
        ("CONSOLE_SPARK_SUBMIT", "spark-submit", "console.E013"),
        ("CONSOLE_SPARK_MASTER", "k8s://https://cluster:443", "console.E020"),
        ("CONSOLE_SPARK_TARGETS", {"k": {"master": "k8s://https://cluster:443"}}, "console.E020"),
        ("CONSOLE_DATA_DIR", env.REPO / "no-such-folder", "console.W001"),
        ("SECRET_KEY", "short", "console.E010"),
        ("CONSOLE_PROXY_NETWORKS", ["10.0.0.2"], "console.E023"),
        ("SECURE_SSL_REDIRECT", True, "console.E035"),
        ("CONSOLE_RECORD_SECRETS", "short", "console.E016"),
        ("CONSOLE_RECORD_SECRETS", f"{'x' * 32},", "console.E016"),
    ],
)
def test_value_that_cannot_work_is_named(settings, name, value, id_):
    setattr(settings, name, value)
    messages = checks.check_settings(None)
    assert [message.id for message in messages] == [id_]
    assert messages[0].hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_SPARK_IMAGE", "spark:4.2"),
        ("CONSOLE_SPARK_CONF", {"spark.kubernetes.executor.container.image": "spark:4.2"}),
    ],
)
def test_kubernetes_with_an_image_is_sound(settings, name, value):
    settings.CONSOLE_SPARK_MASTER = "k8s://https://cluster:443"
    setattr(settings, name, value)
    assert ids() == set()


def test_proxy_that_is_no_address_is_named(settings):
    settings.CONSOLE_PROXY_COUNT, settings.CONSOLE_PROXY_NETWORKS = 1, ["10.0.0.2", "proxy"]
    (message,) = checks.check_settings(None)
    assert (message.id, "'proxy'" in message.msg) == ("console.E022", True)


def test_folder_that_cannot_be_written_is_named(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    settings.CONSOLE_OUTPUT_DIR = tmp_path / "not" / "yet" / "there"
    assert "console.E009" in ids()


def test_deployment_checks_are_clean_behind_https():
    """`manage.py check --deploy` as somebody would run it, warnings being failures."""
    public = {
        "CONSOLE_PUBLIC_URL": "https://atalaya.example",
        "CONSOLE_ALLOWED_HOSTS": "atalaya.example",
        "CONSOLE_PROXY_COUNT": "1",
        "CONSOLE_SECRET_KEY": "Zq3".join(str(n) for n in range(30)),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, **public},
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("CONSOLE_SECRET_KEY")
    with pytest.raises(env.ImproperlyConfigured, match=r"CONSOLE_SECRET_KEY is not set.*\.env\.example"):
        env.text("CONSOLE_SECRET_KEY")


def test_json_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("CONSOLE_KAFKA_CONFIG", '{"sasl.password": "hush"')
    with pytest.raises(env.ImproperlyConfigured, match=r"CONSOLE_KAFKA_CONFIG is no JSON \(") as raised:
        env.json_value("CONSOLE_KAFKA_CONFIG", "{}")
    assert "hush" not in str(raised.value)
