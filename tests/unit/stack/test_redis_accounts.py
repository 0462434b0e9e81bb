"""The Redis of the stack, as its own file configures it: what the pipelines' account may, and may not."""

import socket
import stat
import subprocess
import time
from datetime import UTC, datetime

import pytest
import redis
from redis.exceptions import NoPermissionError

from dags.recipes.common import feature_store
from dags.recipes.common.feature_store import Row
from stack import airflow, config, console_parts, redis_server


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Redis started as the stack starts it, on a port that was free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("a stack")
    environ = {"CONSOLE_VAR_DIR": str(folder), "CONSOLE_PORT_BASE": str(port - config.OFFSETS["redis"])}
    made = config.from_environment(environ, dotenv=folder / ".env")
    redis_server.prepare(made)
    program = redis_server.PART.program(made)
    process = subprocess.Popen(program.argv, cwd=program.folder, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                redis_server.connect(made).ping()
                break
            except redis.ConnectionError:
                assert process.poll() is None, "Redis refused its file"
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield made
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def url(running):
    return airflow.environment(running)["ATALAYA_FEATURES_URL"]


@pytest.fixture
def pipelines(url):
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


def test_pipelines_may_do_all_that_the_feature_store_does(url, monkeypatch):
    monkeypatch.setenv("ATALAYA_FEATURES_URL", url)
    store = feature_store.connect()
    rows = [Row(str(n), {"a": n}, datetime.now(UTC)) for n in range(3)]
    for _ in range(2):
        assert store.put_many("titanic", "1", schema={"a": "integer"}, rows=rows).n_rows == 3
    assert store.entities() == ["titanic"]
    assert [version.n_rows for version in store.versions("titanic")] == [3]
    assert store.get("titanic", "2").values == {"a": 2}
    assert sorted(store.ids("titanic", "1")) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "celery"),
        ("SET", "celery", "task"),
        ("MGET", "feature:row:titanic:1:1", "celery"),
        ("ZADD", "unacked_index", "1", "a"),
        ("SMEMBERS", "_kombu.binding.control"),
        ("HSET", "unacked", "a", "b"),
        ("SADD", "asgi:group:all", "me"),
    ],
    ids=" ".join,
)
def test_pipelines_reach_no_key_of_others(running, pipelines, command):
    redis_server.connect(running).set("celery", "the workers' queue")
    with pytest.raises(NoPermissionError):
        pipelines.execute_command(*command)
    assert redis_server.connect(running).get("celery") == "the workers' queue"


@pytest.mark.parametrize(
    "command",
    [
        "KEYS *", "SCAN 0", "FLUSHALL", "FLUSHDB", "CONFIG GET requirepass", "CONFIG SET dir /tmp",
        "ACL LIST", "ACL SETUSER features allkeys", "EVAL x 0", "SCRIPT FLUSH", "DEBUG SLEEP 0",
        "SHUTDOWN", "MONITOR", "INFO", "CLIENT LIST", "CLIENT KILL TYPE normal", "MODULE LIST",
        "REPLICAOF NO ONE", "SAVE",
        "BGREWRITEAOF", "SORT feature:a GET celery", "SUBSCRIBE asgi", "PUBLISH asgi x",
        "MIGRATE 127.0.0.1 1 feature:a 0 10", "LPUSH celery x", "BLPOP feature:a 0",
        "RENAME feature:a celery",
        "COPY feature:a celery", "DEL feature:a", "DUMP feature:a", "SELECT 1", "SWAPDB 0 1",
        "RANDOMKEY", "DBSIZE",
    ],
)  # fmt: skip
def test_pipelines_run_no_command_that_looks_around_or_changes_the_server(pipelines, command):
    with pytest.raises(NoPermissionError):
        pipelines.execute_command(*command.split())


def test_within_a_transaction_the_same_holds(pipelines):
    pipe = pipelines.pipeline(transaction=True)
    pipe.set("feature:a", "1")
    pipe.set("celery", "1")
    with pytest.raises(redis.ResponseError):
        pipe.execute()


def test_nobody_comes_in_without_a_password_or_with_a_wrong_one(running, url):
    for asked in (
        f"redis://127.0.0.1:{running.port('redis')}/0",
        url.replace(running.secrets["features"], "guess"),
        url.replace(running.secrets["features"], running.secrets["redis"]),
        url.replace("features:", ":", 1),
    ):
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
            redis.Redis.from_url(asked).ping()


def test_pipelines_are_not_told_the_consoles_password(running):
    told = airflow.environment(running)
    assert not any(running.secrets["redis"] in value for value in told.values())
    assert "CONSOLE_REDIS_URL" not in told
    path = running.var_dir / "redis" / "redis.conf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert running.secrets["features"] not in path.read_text()


def test_a_redis_of_the_callers_own_is_not_told_our_password(tmp_path):
    def site(**said):
        return config.from_environment({"CONSOLE_VAR_DIR": str(tmp_path), **said}, dotenv=tmp_path / ".env")

    own = site(CONSOLE_REDIS_URL="redis://:x@redis.example/0")
    assert "ATALAYA_FEATURES_URL" not in airflow.environment(own)
    told = "redis://features:y@redis.example/0"
    own = site(CONSOLE_REDIS_URL="redis://:x@redis.example/0", CONSOLE_FEATURES_URL=told)
    assert airflow.environment(own)["ATALAYA_FEATURES_URL"] == told
    assert own.secrets["features"] not in console_parts.settings(own).values()
