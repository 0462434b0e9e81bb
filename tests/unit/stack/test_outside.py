"""Backup and restore by the console's settings alone: any PostgreSQL, Redis, Kafka, folder or bucket."""

import contextlib
import io
import json
import uuid
import zipfile
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections

from core.audit import actions, sealing
from core.audit.models import AuditSeal
from core.lib import redis
from stack import artifacts, backup, backup_file, kafka_state, outside
from stack.backup_file import Writer, opened
from stack.errors import StackError
from tests.people import make_user

PASSPHRASE = "correct horse battery"
STATE = {"topics": {"predictions": {"id": "one", "partitions": 4, "config": {}}}, "recorder": {}}
KEPT = ("audit_auditentry", "audit_auditseal", "access_user", "django_migrations", "lib_topicdays")


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    monkeypatch.setattr(backup_file, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


class Kafka:
    """What `kafka_state` asks; its own tests and `make test-restore` ask a real one."""

    def __init__(self, monkeypatch):
        self.restored, self.is_the_same, self.n_waiting = [], True, 0
        monkeypatch.setattr(kafka_state, "state", lambda *_: STATE)
        monkeypatch.setattr(kafka_state, "wait_until_recorded", lambda *_, **__: self.n_waiting)
        monkeypatch.setattr(kafka_state, "restore", self.restore)

    def restore(self, _settings, saved):
        self.restored.append(saved)
        return self.is_the_same


@pytest.fixture
def kafka(monkeypatch):
    return Kafka(monkeypatch)


@pytest.fixture
def empty():
    """Makes addresses of empty databases on the tests' server."""
    about = django_settings.DATABASES["default"]
    parts = {"host": about["HOST"], "user": about["USER"], "password": about["PASSWORD"]}
    names = []

    def made() -> str:
        names.append(f"outside_{uuid.uuid4().hex[:8]}")
        execute(dsn("postgres"), f"CREATE DATABASE {names[-1]}")
        return dsn(names[-1])

    def dsn(name: str) -> str:
        return psycopg2.extensions.make_dsn(**parts, dbname=name)

    made.existing = dsn
    yield made
    for name in names:
        execute(dsn("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def execute(url, sql):
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def said(tmp_path, empty, real_redis):
    """The settings of an installation, with databases of the names that are not given."""
    number = iter(range(100))

    def made(**values: str) -> dict[str, str]:
        folder = tmp_path / f"place{next(number)}"
        (folder / "output").mkdir(parents=True)
        (folder / "artifacts").mkdir()
        return {
            "CONSOLE_SECRET_KEY": "k" * 50,
            "CONSOLE_RECORD_SECRETS": "r" * 40,
            "CONSOLE_DATABASE_URL": values.get("CONSOLE_DATABASE_URL") or empty(),
            "CONSOLE_USECASES_DATABASE_URL": values.get("CONSOLE_USECASES_DATABASE_URL") or empty(),
            "CONSOLE_REDIS_URL": real_redis.url,
            "CONSOLE_KAFKA_BOOTSTRAP": "kafka.example.org:9093",
            "CONSOLE_OUTPUT_DIR": str(folder / "output"),
            "CONSOLE_BACKUP_ARTIFACTS": f"file://{folder / 'artifacts'}",
            **values,
        }

    return made


def backed_up(environ, path):
    outside.make(outside.place(environ), path, PASSPHRASE)
    return path


def restored(environ, path, passphrase=PASSPHRASE):
    with opened(path) as found:
        outside.bring_back(outside.place(environ), found, passphrase)


def refused(environ, path, words, passphrase=PASSPHRASE):
    """Refused with these words, and nothing was written."""
    with pytest.raises(StackError, match=words):
        restored(environ, path, passphrase)
    for name in ("CONSOLE_DATABASE_URL", "CONSOLE_USECASES_DATABASE_URL"):
        assert execute(environ[name], "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert list(Path(environ["CONSOLE_OUTPUT_DIR"]).iterdir()) == []


def rows(url, table):
    return execute(url, f"SELECT t::text FROM {table} t ORDER BY 1")


def audit_is_whole(url, head):
    """What `verify_audit` says of another database than the tests' own."""
    connection = connections["default"]
    connection.close()
    before = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = psycopg2.extensions.parse_dsn(url)["dbname"]
    try:
        out = io.StringIO()
        call_command("verify_audit", "--head", head, stdout=out)
        return out.getvalue()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


@pytest.mark.django_db(transaction=True, databases=["default", "usecases"])
def test_everything_comes_back_into_an_empty_place(said, empty, kafka, real_redis, tmp_path):
    user = make_user("ana", "admin")
    for number in range(20):
        actions.record("user.change", user, by=user, after={"n": number})
    sealing.seal_new()
    head = str(AuditSeal.objects.last())
    redis.client().set("feature:row:7", "warm", ex=3600)
    redis.client().set("other", "not kept")
    names = [connections[alias].settings_dict["NAME"] for alias in ("default", "usecases")]
    old = said(
        CONSOLE_DATABASE_URL=empty.existing(names[0]),
        CONSOLE_USECASES_DATABASE_URL=empty.existing(names[1]),
        CONSOLE_BACKUP_MLFLOW_URL=empty(),
    )
    execute(old["CONSOLE_BACKUP_MLFLOW_URL"], "CREATE TABLE runs AS SELECT 1 AS id")
    Path(old["CONSOLE_OUTPUT_DIR"], "trips.csv").write_text("a,b\n")
    store = Path(old["CONSOLE_BACKUP_ARTIFACTS"].removeprefix("file://"))
    (store / "1").mkdir()
    (store / "1" / "model.pkl").write_bytes(bytes(range(256)) * 100)
    path = backed_up(old, tmp_path / "a.zip")
    assert path.stat().st_mode & 0o777 == 0o600

    redis.client().flushall()
    new = said(CONSOLE_BACKUP_MLFLOW_URL=empty())
    restored(new, path)
    for table in KEPT:
        assert rows(new["CONSOLE_DATABASE_URL"], table) == rows(old["CONSOLE_DATABASE_URL"], table)
    assert len(rows(new["CONSOLE_DATABASE_URL"], "audit_auditentry")) >= 20
    assert execute(new["CONSOLE_BACKUP_MLFLOW_URL"], "SELECT id FROM runs") == [(1,)]
    assert "20 entries" in audit_is_whole(new["CONSOLE_DATABASE_URL"], head)
    assert redis.client().get("feature:row:7") == "warm"
    assert redis.client().ttl("feature:row:7") > 3000
    assert redis.client().get("other") is None
    assert Path(new["CONSOLE_OUTPUT_DIR"], "trips.csv").read_text() == "a,b\n"
    target = Path(new["CONSOLE_BACKUP_ARTIFACTS"].removeprefix("file://"))
    assert (target / "1" / "model.pkl").read_bytes() == bytes(range(256)) * 100
    assert kafka.restored == [STATE]


@pytest.fixture
def path(said, kafka, tmp_path):
    """A backup of an installation with one table, and the settings of an empty place."""
    old = said()
    execute(
        old["CONSOLE_DATABASE_URL"], "CREATE TABLE streaming_deadletter (dead_partition int, dead_offset int)"
    )
    execute(old["CONSOLE_DATABASE_URL"], "INSERT INTO streaming_deadletter VALUES (1, 2)")
    return backed_up(old, tmp_path / "a.zip")


def test_another_passphrase_is_refused(said, path):
    refused(said(), path, "passphrase does not open", passphrase="another passphrase")


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_file_that_was_cut_is_refused(said, path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(said(), path, "was cut off")


def test_a_file_that_was_changed_is_refused(said, path, tmp_path):
    other = tmp_path / "b.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"[{}]" if name == "redis/features.json" else old.read(name))
    refused(said(), other, "features.json is not what was written")


def test_a_backup_of_a_newer_release_is_refused(said, path, monkeypatch):
    before = backup.versions()
    monkeypatch.setattr(backup, "versions", lambda: {**before, "atalaya": "0.0.1"})
    refused(said(), path, "newer release: it has atalaya")


def test_a_backup_of_an_embedded_stack_is_refused(said, tmp_path):
    with Writer(tmp_path / "a.zip") as writer:
        whole = {"versions": backup.versions(), "migrations": {}, "databases": {}, "kafka": {}}
        writer.finish(whole, secrets={"secrets": {}, "settings": {}}, passphrase=PASSPHRASE)
    refused(said(), tmp_path / "a.zip", "`make restore` brings it back")


@pytest.mark.parametrize("name", outside.MINE)
def test_other_secrets_are_refused(said, path, name):
    """Rows that are sealed with the old ones could never be opened again."""
    refused(said(**{name: "x" * 60}), path, f"{name} is another than the backup's")


def test_a_record_secret_may_stand_beside_a_newer_one(said, path):
    restored(said(CONSOLE_RECORD_SECRETS=f"{'n' * 40},{'r' * 40}"), path)


def test_what_is_not_empty_is_left_alone(said, path):
    new = said()
    Path(new["CONSOLE_OUTPUT_DIR"], "mine.csv").write_text("1")
    with pytest.raises(StackError, match="output is not empty"):
        restored(new, path)
    other = said()
    execute(other["CONSOLE_USECASES_DATABASE_URL"], "CREATE TABLE mine (id int)")
    with pytest.raises(StackError, match="usecases is not empty"):
        restored(other, path)
    for environ in (new, other):  # though it comes first, and is empty
        assert execute(
            environ["CONSOLE_DATABASE_URL"], "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ) == [(0,)]


def test_places_of_dead_letters_go_where_topics_are_others(said, path, kafka):
    for is_the_same, expected in ((True, [(1, 2)]), (False, [(None, None)])):
        kafka.is_the_same = is_the_same
        new = said()
        restored(new, path)
        assert execute(new["CONSOLE_DATABASE_URL"], "SELECT * FROM streaming_deadletter") == expected


def test_what_was_filled_when_a_restore_fails_is_named(said, path, monkeypatch, capsys):
    def refuse(*_):
        raise StackError("Kafka does not take its topics")

    monkeypatch.setattr(kafka_state, "restore", refuse)
    with pytest.raises(StackError, match="Kafka does not take"):
        restored(said(), path)
    assert (
        "to be emptied before the next try: the database console, the database usecases."
        in capsys.readouterr().out
    )


def test_a_backup_that_fails_leaves_no_file(said, kafka, tmp_path):
    environ = said(CONSOLE_BACKUP_AIRFLOW_URL="postgresql://127.0.0.1:1/none")
    with pytest.raises(StackError, match="The database airflow does not answer"):
        backed_up(environ, tmp_path / "a.zip")
    assert list(tmp_path.glob("a.zip*")) == []


def test_secrets_come_out_again_from_files_too(said, kafka, tmp_path, capsys, monkeypatch):
    environ = said(ATALAYA_SECRET_POSTGRES="p4ss")
    (tmp_path / "key").write_text("f" * 50)
    del environ["CONSOLE_SECRET_KEY"]
    environ["CONSOLE_SECRET_KEY_FILE"] = str(tmp_path / "key")
    path = backed_up(environ, tmp_path / "a.zip")
    assert b"f" * 50 not in path.read_bytes()
    monkeypatch.setenv("CONSOLE_BACKUP_PASSPHRASE", PASSPHRASE)
    capsys.readouterr()
    assert outside.main(["secrets", str(path)]) == 0
    told = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert told["CONSOLE_SECRET_KEY"] == "f" * 50
    assert told["ATALAYA_SECRET_POSTGRES"] == "p4ss"


@pytest.mark.parametrize("name", ["CONSOLE_DATABASE_URL", "CONSOLE_SECRET_KEY", "CONSOLE_OUTPUT_DIR"])
def test_a_setting_that_is_missing_is_named(said, name):
    environ = said()
    del environ[name]
    with pytest.raises(StackError, match=f"{name} is not set"):
        outside.place(environ)


def test_an_embedded_stack_takes_no_such_backup(path, tmp_path):
    from stack import config, restore

    environ = {"CONSOLE_VAR_DIR": str(tmp_path / "var"), "CONSOLE_VENV_DIR": str(tmp_path / "venv")}
    site = config.from_environment(environ, dotenv=tmp_path / ".env")
    with opened(path) as found, pytest.raises(StackError, match=r"`python -m stack\.outside restore`"):
        restore.restore(site, found, PASSPHRASE)


# --- the store of artefacts


class Objects:
    """The client of an S3 store in memory, for what a backup asks of one; pages of two."""

    def __init__(self):
        self.buckets = {}
        self.exceptions = type("Exceptions", (), {"NoSuchKey": type("NoSuchKey", (Exception,), {})})

    def get_paginator(self, _name):
        return self

    def paginate(self, *, Bucket, Prefix):
        keys = sorted(key for key in self.buckets[Bucket] if key.startswith(Prefix))
        for number in range(0, len(keys) or 1, 2):
            page = [{"Key": key, "Size": len(self.buckets[Bucket][key])} for key in keys[number : number + 2]]
            yield {"Contents": page} if page else {}

    def get_object(self, *, Bucket, Key):
        if Key not in self.buckets[Bucket]:
            raise self.exceptions.NoSuchKey
        return {"Body": io.BytesIO(self.buckets[Bucket][Key])}

    def upload_fileobj(self, stream, bucket, key):
        self.buckets[bucket][key] = stream.read()


def test_objects_of_a_bucket_come_back_below_another_prefix(tmp_path):
    client = Objects()
    content = {f"old/{n}/model.pkl": bytes([n]) * n for n in range(1, 6)}
    client.buckets = {"a": {**content, "old/": b"", "older/no.pkl": b"no"}, "b": {}}
    source, target = artifacts.Bucket(client, "a", "old"), artifacts.Bucket(client, "b", "new/place")
    assert source.size_bytes() == 15
    with Writer(tmp_path / "a.zip") as writer:
        source.copy_to(writer)
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    assert target.is_empty()
    with opened(tmp_path / "a.zip") as found:
        found.check()
        target.fill(found)
    assert client.buckets["b"] == {key.replace("old", "new/place"): value for key, value in content.items()}
    assert not target.is_empty()


def test_an_object_that_goes_meanwhile_is_left_out(tmp_path, monkeypatch):
    client = Objects()
    client.buckets = {"a": {"x": b"1", "y": b"2"}}
    pages = client.paginate

    def gone(**where):
        found = list(pages(**where))
        client.buckets["a"].pop("x", None)
        return found

    monkeypatch.setattr(client, "paginate", gone)
    with Writer(tmp_path / "a.zip") as writer:
        artifacts.Bucket(client, "a", "").copy_to(writer)
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    with opened(tmp_path / "a.zip") as found:
        assert list(found.members) == ["mlflow/y"]


@pytest.mark.parametrize("address", ["gs://bucket/x", "relative/folder", "s3:///nothing"])
def test_what_is_no_store_is_refused(address):
    with pytest.raises(StackError, match="is no store of artefacts"):
        artifacts.store(address)


def test_a_manifest_says_what_is_in_it(path):
    with opened(path) as found:
        assert found.manifest["kind"] == "outside"
        assert list(found.manifest["databases"]) == ["console", "usecases"]
        assert found.manifest["kafka"] == json.loads(json.dumps(STATE))
