"""What the parts of a stack ask each other for, and that it goes to nobody else."""

import asyncio
import configparser
import json
import stat
import sys
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from stack import airflow, config, console_parts, kafka, mlflow_server, supervisor
from stack.errors import StackError
from stack.mlflow_app import Guard

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


# --- MLflow


def answer(headers=(), path="/api/2.0/mlflow/runs/get"):
    guard = Guard(PlainTextResponse("MLflow"), username="atalaya", password="open:sesame")
    transport = httpx.ASGITransport(app=guard)

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers=list(headers))

    return asyncio.run(ask())


def basic(username: str, password: str) -> tuple[str, str]:
    return "Authorization", httpx.BasicAuth(username, password)._auth_header


def test_guard_lets_in_who_knows_the_password():
    assert answer([basic("atalaya", "open:sesame")]).text == "MLflow"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Basic")],
        [("Authorization", "Bearer open:sesame")],
        [("Authorization", b"Basic \xff")],
        [basic("atalaya", "open")],
        [basic("", "open:sesame")],
        [basic("atalaya", "open:sesame"), basic("atalaya", "other")],
    ],
)
def test_guard_refuses_everybody_else(headers):
    refused = answer(headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert "MLFLOW_TRACKING_PASSWORD" in refused.text


@pytest.mark.parametrize(
    "path", ["/", "/version", "/health/", "//health", "/health/../api", "/static-files/x"]
)
def test_guard_leaves_no_path_open_but_the_sign_of_life(path):
    assert answer(path=path).status_code == 401
    assert answer(path="/health").status_code == 200


def test_console_and_pipelines_get_the_same_account(site):
    made = site()
    told = console_parts.settings(made)
    assert told["CONSOLE_MLFLOW_USERNAME"] == "atalaya"
    assert told["CONSOLE_MLFLOW_PASSWORD"] == made.secrets["mlflow"]
    tracking = airflow.environment(made)
    assert tracking["MLFLOW_TRACKING_URI"] == told["CONSOLE_MLFLOW_URL"]
    assert tracking["MLFLOW_TRACKING_USERNAME"] == told["CONSOLE_MLFLOW_USERNAME"]
    assert tracking["MLFLOW_TRACKING_PASSWORD"] == told["CONSOLE_MLFLOW_PASSWORD"]
    server = mlflow_server.PART.program(made)
    assert server.environment["MLFLOW_TRACKING_PASSWORD"] == told["CONSOLE_MLFLOW_PASSWORD"]
    assert not any(told["CONSOLE_MLFLOW_PASSWORD"] in word for word in server.argv)


def test_password_that_the_caller_chose_holds_for_server_and_clients(site):
    made = site(CONSOLE_MLFLOW_PASSWORD="chosen")
    assert console_parts.settings(made)["CONSOLE_MLFLOW_PASSWORD"] == "chosen"
    assert mlflow_server.PART.program(made).environment["MLFLOW_TRACKING_PASSWORD"] == "chosen"
    assert airflow.environment(made)["MLFLOW_TRACKING_PASSWORD"] == "chosen"


def test_an_mlflow_of_the_callers_own_is_not_told_our_password(site):
    made = site(CONSOLE_MLFLOW_URL="https://mlflow.example")
    assert made.secrets["mlflow"] not in console_parts.settings(made).values()
    tracking = airflow.environment(made)
    assert tracking["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert "MLFLOW_TRACKING_PASSWORD" not in tracking


# --- Kafka


def test_console_signs_in_to_kafka_and_keeps_the_callers_settings(site):
    made = site(CONSOLE_KAFKA_CONFIG='{"socket.keepalive.enable": true}')
    told = json.loads(console_parts.settings(made)["CONSOLE_KAFKA_CONFIG"])
    assert told["sasl.password"] == made.secrets["kafka"]
    assert told["socket.keepalive.enable"] is True


def test_a_kafka_of_the_callers_own_is_not_told_our_password(site):
    said = {
        "CONSOLE_KAFKA_BOOTSTRAP": "kafka.example:9092",
        "CONSOLE_KAFKA_CONFIG": '{"sasl.username": "me"}',
    }
    told = console_parts.settings(site(**said))
    assert {name: told[name] for name in said} == said
    assert "CONSOLE_KAFKA_CONFIG" not in console_parts.settings(site(CONSOLE_KAFKA_BOOTSTRAP="other:9092"))


@pytest.mark.parametrize("said", ["{", "[]", "3"])
def test_settings_of_kafka_that_cannot_be_are_refused_without_being_repeated(site, said):
    with pytest.raises(StackError, match=r"CONSOLE_KAFKA_CONFIG is no JSON object;"):
        console_parts.settings(site(CONSOLE_KAFKA_CONFIG=said))


def test_file_of_kafka_is_private_and_lets_nobody_in_without_a_password(site, monkeypatch):
    monkeypatch.setattr(kafka, "_format", lambda _config: None)
    made = site()
    kafka.prepare(made)
    path = made.var_dir / "kafka" / "kraft.properties"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert "listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT" in lines
    assert sum(made.secrets["kafka"] in line for line in lines) == 2
    assert not any(made.secrets["kafka"] in word for word in kafka.PART.program(made).argv)


# --- callers


@pytest.mark.parametrize("said", [{}, {"CONSOLE_PROXY_COUNT": "2", "CONSOLE_PROXY_NETWORKS": "127.0.0.1"}])
def test_the_console_itself_decides_whose_forwarded_headers_count(site, said):
    for part in console_parts.PARTS:
        if part.name in ("web", "serving"):
            assert part.program(site(**said)).argv[-1] == "--no-proxy-headers"
