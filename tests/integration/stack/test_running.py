"""A stack that runs: what it shows, what it keeps to itself, and what a second `make up` does."""

import contextlib
import stat
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stack import catalogue, databases, groups, supervisor
from tests.api import wait_for
from tests.running_stack import RunningStack


def test_every_part_is_healthy(stack: RunningStack):
    stack.wait_until_healthy()
    found = stack.status()
    assert list(found) == list(catalogue.PARTS)
    assert all(part.pid and part.memory_bytes > 1_000_000 and part.uptime_s > 0 for part in found.values())


def test_first_up_tells_address_password_time_and_memory(stack: RunningStack):
    for words in (stack.url, "admin", "ready in", "GiB proportional set size"):
        assert words in stack.output


def test_second_up_does_nothing_and_says_so(stack: RunningStack):
    stack.wait_until_healthy()
    before = {name: part.pid for name, part in stack.status().items()}
    wait_for("nothing to do", lambda: "Nothing to do" in stack.up(), timeout_s=60)
    assert {name: part.pid for name, part in stack.status().items()} == before


def test_nothing_listens_beyond_this_machine(stack: RunningStack):
    addresses = {
        (part.name, connection.laddr.ip)
        for part in catalogue.PARTS.values()
        for process in groups.members(stack.config, part)
        for connection in listening(process)
    }
    assert {name for name, _ in addresses} >= {"postgres", "redis", "kafka", "mlflow", "airflow-api", "web"}
    assert {ip for _, ip in addresses} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_secrets_are_for_their_owner_alone(stack: RunningStack):
    for name in (
        "secrets.json",
        "console.env",
        "run/stack.json",
        "run/supervisord.conf",
        "redis/redis.conf",
        "kafka/kraft.properties",
        "airflow/passwords.json",
    ):
        assert mode(stack, name) == 0o600, name
    for name in ("run", "logs", "redis", "kafka", "mlflow", "airflow", "metrics", "output", "serving"):
        assert mode(stack, name) == 0o700, name
    assert {mode(stack, f"logs/{name}.log") for name in catalogue.PARTS} == {0o600}


def test_no_secret_is_in_a_log(stack: RunningStack):
    secrets = {name: value for name, value in stack.config.secrets.items() if name != "kafka_cluster_id"}
    var = stack.config.var_dir
    for path in (*var.glob("logs/*"), *var.glob("airflow/logs/**/*.log")):
        text = path.read_text(errors="replace")
        assert not [name for name, value in secrets.items() if value in text], path


def test_no_secret_is_on_a_command_line(stack: RunningStack):
    secrets = set(stack.config.secrets.values()) - {stack.config.secrets["kafka_cluster_id"]}
    for part in catalogue.PARTS.values():
        for process in groups.members(stack.config, part):
            with contextlib.suppress(psutil.NoSuchProcess):  # a task of Airflow's that has just ended
                line = " ".join(process.cmdline())
                assert not any(secret in line for secret in secrets), part.name


def test_servers_refuse_who_has_no_password(stack: RunningStack):
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=stack.config.port("redis")) as client:
        client.ping()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host="127.0.0.1", port=stack.config.port("postgres"), user="postgres", dbname="console"
        )
    for path in ("/", "/version", "/api/2.0/mlflow/experiments/search", "/api/3.0/mlflow/server-info"):
        assert httpx.get(stack.mlflow_url + path, trust_env=False).status_code == 401, path
    assert httpx.get(f"{stack.airflow_url}/api/v2/dags", trust_env=False).status_code == 401


@pytest.mark.parametrize("name", ["kafka", "kafka-controller"])
@pytest.mark.parametrize("password", [None, "wrong"])
def test_kafka_refuses_who_has_no_password(stack: RunningStack, name: str, password: str | None):
    own = {**stack.kafka_config, "sasl.password": password} if password else {}
    address = {"bootstrap.servers": f"127.0.0.1:{stack.config.port(name)}", "log_level": 0}
    with pytest.raises(KafkaException):
        AdminClient({**own, **address}).list_topics(timeout=5)


def test_supervisor_refuses_who_has_no_password(stack: RunningStack):
    assert not supervisor.asks_for_no_password(stack.config)
    assert supervisor.is_running(stack.config)


def test_a_database_admits_its_owner_alone(stack: RunningStack):
    address = databases.url(stack.config, "airflow").removesuffix("airflow") + "console"
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(address)


def test_tasks_of_airflow_see_no_secret_of_the_console(stack: RunningStack):
    scheduler = psutil.Process(stack.status()["airflow-scheduler"].pid)
    seen = scheduler.environ()
    assert {name for name in seen if name.startswith("CONSOLE_")} <= {"CONSOLE_DATA_DIR"}
    for name in ("console", "redis", "database_console", "database_mlflow", "postgres"):
        assert stack.config.secrets[name] not in " ".join(seen.values())


def mode(stack: RunningStack, name: str | Path) -> int:
    return stat.S_IMODE((stack.config.var_dir / name).stat().st_mode)


def listening(process: psutil.Process) -> list[Any]:
    try:
        connections = process.net_connections("tcp")
    except psutil.NoSuchProcess:  # a task of Airflow that has ended meanwhile
        return []
    return [found for found in connections if found.status == psutil.CONN_LISTEN]
