"""A stack that runs: what it shows, what it keeps to itself, and what a second `make up` does."""

import stat
from typing import Any

import psutil
import psycopg2
import pytest
import redis

from stack import catalogue, databases, groups
from tests.running_stack import RunningStack


def test_every_part_is_healthy(stack: RunningStack):
    found = stack.status()
    assert list(found) == list(catalogue.PARTS)
    assert {name: part.reason for name, part in found.items() if part.health != "healthy"} == {}
    assert all(part.pid and part.memory_bytes > 1_000_000 and part.uptime_s > 0 for part in found.values())


def test_first_up_tells_address_password_time_and_memory(stack: RunningStack):
    for words in (stack.url, "admin", "ready in", "GiB proportional set size"):
        assert words in stack.output


def test_second_up_does_nothing_and_says_so(stack: RunningStack):
    before = {name: part.pid for name, part in stack.status().items()}
    assert "Nothing to do" in stack.up()
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
        "redis/redis.conf",
        "airflow/passwords.json",
    ):
        assert stat.S_IMODE((stack.config.var_dir / name).stat().st_mode) == 0o600, name


def test_no_secret_is_on_a_command_line(stack: RunningStack):
    secrets = set(stack.config.secrets.values()) - {stack.config.secrets["kafka_cluster_id"]}
    for part in catalogue.PARTS.values():
        for process in groups.members(stack.config, part):
            line = " ".join(process.cmdline())
            assert not any(secret in line for secret in secrets), part.name


def test_servers_refuse_who_has_no_password(stack: RunningStack):
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=stack.config.port("redis")) as client:
        client.ping()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(
            host="127.0.0.1", port=stack.config.port("postgres"), user="postgres", dbname="console"
        )


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


def listening(process: psutil.Process) -> list[Any]:
    return [found for found in process.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
