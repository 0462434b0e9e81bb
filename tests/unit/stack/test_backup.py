"""What goes into a backup and comes out again, and what a restore refuses before it writes anything."""

import contextlib
import io
import json
import time
import uuid
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from django.conf import settings as django_settings
from psycopg2.extensions import make_dsn

from jobs.models import Job
from predictions import recorder
from stack import backup, backup_file, config, kafka_state, restore, throwaway, up
from stack.backup_file import Writer, opened
from stack.errors import StackError
from streaming.models import Replay, RuleState, Stream

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    monkeypatch.setattr(backup_file, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


@pytest.fixture
def site(tmp_path):
    """Makes the stack of a caller who said these settings."""

    def made(**said: str) -> config.Config:
        environ = {
            "CONSOLE_VAR_DIR": str(tmp_path / "var"),
            "CONSOLE_VENV_DIR": str(tmp_path / "venv"),
            **said,
        }
        found = config.from_environment(environ, dotenv=tmp_path / ".env")
        found.var_dir.mkdir(exist_ok=True)
        return found

    return made


# --- databases


@pytest.fixture
def databases():
    """Addresses of two empty databases on the tests' server."""
    about = django_settings.DATABASES["default"]
    parts = {"host": about["HOST"], "user": about["USER"], "password": about["PASSWORD"]}
    connection = psycopg2.connect(**parts, dbname="postgres")
    connection.autocommit = True
    names = [f"backup_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"CREATE DATABASE {name}")
        yield [psycopg2.extensions.make_dsn(**parts, dbname=name) for name in names]
        for name in names:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def run(url, sql):
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def dumped(url, path, *, meanwhile=lambda: None):
    """A backup with this database alone, written to while it was dumped."""
    with Writer(path) as writer, backup._snapshot("console", url) as found:
        meanwhile()
        backup._dump(writer, "console", url, found["snapshot"])
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    return path


def test_a_database_comes_back_as_it_was_at_the_snapshot(databases, tmp_path):
    source, target = databases
    run(source, "CREATE TABLE a (id int PRIMARY KEY, day int) ")
    run(source, "CREATE TABLE b (id serial, day int) PARTITION BY RANGE (day)")
    run(source, "CREATE TABLE b_1 PARTITION OF b FOR VALUES FROM (0) TO (10)")
    run(source, "INSERT INTO b (day) SELECT n % 10 FROM generate_series(1, 1000) n")
    path = dumped(source, tmp_path / "a.zip", meanwhile=lambda: run(source, "INSERT INTO b (day) VALUES (1)"))
    with opened(path) as found:
        restore.restore_database(found, "console", target)
    assert run(target, "SELECT count(*), max(id) FROM b") == [(1000, 1000)]
    run(target, "INSERT INTO b (day) VALUES (1)")
    # a sequence is in no snapshot: the row that was added meanwhile had drawn 1001
    assert run(target, "SELECT max(id) FROM b") == [(1002,)]


def test_a_database_that_holds_tables_is_left_alone(databases, tmp_path):
    source, target = databases
    path = dumped(source, tmp_path / "a.zip")
    run(target, "CREATE TABLE mine (id int)")
    with opened(path) as found, pytest.raises(StackError, match="not empty"):
        restore.restore_database(found, "console", target)


def test_a_dump_that_pg_restore_refuses_is_said_with_its_words(databases, tmp_path):
    path = tmp_path / "a.zip"
    with Writer(path) as writer:
        writer.add("databases/console.dump", io.BytesIO(b"no dump" * 100_000))
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    with (
        opened(path) as found,
        pytest.raises(StackError, match="pg_restore of the database console failed: "),
    ):
        restore.restore_database(found, "console", databases[1])


def test_a_dump_that_fails_leaves_no_file(databases, tmp_path):
    with (
        pytest.raises(StackError, match="pg_dump of the database console failed"),
        Writer(tmp_path / "a.zip") as writer,
    ):
        backup._dump(writer, "console", databases[0], "no-snapshot")
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_on_no_command_line():
    command, environment = backup.program(
        "pg_dump", "postgresql://console:s3cret@db.example.org/console?sslmode=require"
    )
    assert "s3cret" not in " ".join(command)
    assert environment["PGPASSWORD"] == "s3cret"
    assert "sslmode=require" in " ".join(command)


# --- files


def test_files_come_back_and_links_do_not(site, tmp_path):
    folder, target = tmp_path / "from", tmp_path / "to"
    (folder / "deep er").mkdir(parents=True)
    (folder / "deep er" / "modèl.bin").write_bytes(b"\x00" * 3000)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("/etc/passwd")
    with Writer(tmp_path / "a.zip") as writer:
        backup.copy(writer, "output", folder)
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    with opened(tmp_path / "a.zip") as found:
        found.check()
        restore.restore_files(found, "output", target)
    files = {path.relative_to(target).as_posix(): path.read_bytes() for path in backup._files(target)}
    assert files == {"deep er/modèl.bin": b"\x00" * 3000, "empty": b""}


def test_a_backup_never_replaces_a_file(site, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"the last good one")
    with pytest.raises(StackError, match="exists already"):
        backup.make(site(), path, PASSPHRASE)
    assert path.read_bytes() == b"the last good one"


def test_a_folder_that_cannot_be_made_is_named(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="Cannot make the folder"):
        backup.make(site(), tmp_path / "file" / "a.zip", PASSPHRASE)


def test_a_full_disk_is_said_before_files_are_copied(tmp_path, monkeypatch):
    (tmp_path / "big").write_bytes(b"0" * 2_000_000)
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(StackError, match="holds 2 MB, and where the backup goes 1 MB are free"):
        backup.require_room(tmp_path / "a.zip", str(tmp_path), backup.size_bytes(tmp_path))


# --- what is refused before anything is written


@pytest.fixture
def path(tmp_path):
    """A backup of which only the secrets and the manifest matter."""

    def made(**about) -> Path:
        file = tmp_path / f"{uuid.uuid4().hex}.zip"
        whole = {"versions": backup.versions(), "migrations": {}, "kafka": {}, **about}
        with Writer(file) as writer:
            writer.finish(
                whole, secrets={"secrets": {"postgres": "old"}, "settings": {}}, passphrase=PASSPHRASE
            )
        return file

    return made


def refused(site, path, words, *, passphrase=PASSPHRASE):
    """A restore is refused with these words, and leaves the folder as it was."""
    before = sorted(site.var_dir.rglob("*"))
    with opened(path) as found, pytest.raises(StackError, match=words):
        restore.restore(site, found, passphrase)
    assert sorted(site.var_dir.rglob("*")) == before


def test_a_wrong_passphrase_writes_nothing(site, path):
    refused(site(), path(), "passphrase does not open", passphrase="another passphrase")


def test_a_folder_that_holds_something_is_left_alone(site, path):
    made = site()
    (made.var_dir / "secrets.json").write_text("{}")
    refused(made, path(), "is there already")


def test_an_output_folder_elsewhere_that_holds_something_is_left_alone(site, path, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine.csv").write_text("1")
    refused(site(CONSOLE_OUTPUT_DIR=str(tmp_path / "results")), path(), "results is there already")


@pytest.mark.parametrize("name", ["airflow", "mlflow", "atalaya"])
def test_a_backup_of_a_newer_service_is_refused(site, path, name):
    refused(site(), path(versions={**backup.versions(), name: "99.1"}), f"newer release: it has {name} 99.1")


def test_a_backup_with_a_migration_that_is_not_known_is_refused(site, path):
    applied = {"console": [["auth", "0001_initial"], ["predictions", "0099_later"]]}
    refused(site(), path(migrations=applied), "does not know .predictions.0099_later.")


def test_all_migrations_of_this_release_are_known():
    from django.db.migrations.loader import MigrationLoader

    applied = [list(key) for key in MigrationLoader(None).disk_migrations]
    restore.require_known({"versions": {}, "migrations": {"console": applied}})


def test_a_restore_that_fails_on_the_way_takes_back_what_it_wrote(site, path, monkeypatch):
    made = site()

    @contextlib.contextmanager
    def servers(config, *_names):
        (config.var_dir / "postgres").mkdir()
        (config.var_dir / "postgres" / "data").write_text("half")
        yield

    monkeypatch.setattr(up, "servers", servers)
    monkeypatch.setattr(restore, "stop", lambda _config: None)
    monkeypatch.setattr(backup, "urls", lambda _config: {"console": "postgresql://127.0.0.1:1/none"})
    refused(made, path(), "The database console does not answer")


def test_outside_databases_that_were_filled_by_then_are_named(site, path, databases, monkeypatch, capsys):
    source, target = databases
    run(source, "CREATE TABLE streaming_deadletter (id int)")
    file = path()
    with Writer(file.with_name("two.zip")) as writer:
        with backup._snapshot("console", source) as about:
            backup._dump(writer, "console", source, about["snapshot"])
        writer.add("databases/usecases.dump", io.BytesIO(b"no dump"))
        whole = {"versions": backup.versions(), "migrations": {}, "kafka": {}}
        writer.finish(whole, secrets={"secrets": {}, "settings": {}}, passphrase=PASSPHRASE)
    made = site(CONSOLE_DATABASE_URL=target, CONSOLE_USECASES_DATABASE_URL=source)
    run(source, "DROP TABLE streaming_deadletter")
    monkeypatch.setattr(up, "servers", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(restore, "stop", lambda _config: None)
    refused(made, file.with_name("two.zip"), "pg_restore of the database usecases failed")
    assert "The outside databases console are filled already" in capsys.readouterr().out
    assert run(target, "SELECT count(*) FROM streaming_deadletter") == [(0,)]


def test_nothing_is_named_where_all_databases_are_the_stacks_own(site, monkeypatch, capsys):
    made = site()
    monkeypatch.setattr(restore, "stop", lambda _config: None)
    restore._take_back(made, ["console", "usecases"])
    assert "outside" not in capsys.readouterr().out


def test_up_refuses_a_folder_whose_restore_was_killed(site):
    made = site()
    (made.var_dir / up.RESTORING).write_text("")
    with pytest.raises(StackError, match="was cut off"):
        up.up(made, [])


def test_a_restored_stack_keeps_its_secrets_and_has_a_kafka_of_its_own(site):
    made = site()
    before = dict(made.secrets)
    (made.var_dir / "secrets.json").unlink()
    restore._write_secrets(made, before)
    changed = {name for name, value in made.secrets.items() if before[name] != value}
    assert changed == {"kafka_cluster_id"}


def test_the_passphrase_is_written_into_no_file_of_the_stack(site):
    made = site(CONSOLE_BACKUP_PASSPHRASE=PASSPHRASE, CONSOLE_LOG_LEVEL="DEBUG")
    assert made.settings == {"CONSOLE_LOG_LEVEL": "DEBUG"}


# --- Kafka's positions

SAVED = {
    "topics": {
        "predictions": {"id": "one", "partitions": 2, "config": {}},
        "other": {"id": "two", "partitions": 1, "config": {}},
    },
    "recorder": {"predictions": {"0": 120, "1": 7}, "gone": {"0": 3}},
}


def places(found):
    return sorted((place.topic, place.partition, place.offset) for place in found)


def test_in_a_kafka_that_lived_on_the_recorder_goes_back_to_the_backup():
    found = kafka_state.positions_to_set(SAVED, {"predictions": "one", "other": "two"})
    assert places(found) == [("predictions", 0, 120), ("predictions", 1, 7)]


def test_in_a_topic_made_anew_the_recorder_has_no_position():
    assert kafka_state.positions_to_set(SAVED, {"predictions": "another", "gone": "x"}) == []


@pytest.mark.parametrize(
    ("bounds", "committed", "left"),
    [((0, 10), -1001, 10), ((4, 10), -1001, 6), ((0, 10), 10, 0), ((5, 10), 7, 3)],
)
def test_what_is_left_to_record_counts_from_the_position(bounds, committed, left):
    assert kafka_state._left(bounds, committed) == left


def test_the_group_is_the_recorders():
    assert kafka_state.RECORDER == recorder.GROUP


def test_kafka_of_the_callers_own_is_asked_with_its_settings(site):
    own = {"security.protocol": "SASL_SSL", "sasl.username": "me"}
    made = site(CONSOLE_KAFKA_BOOTSTRAP="kafka.example.org:9093", CONSOLE_KAFKA_CONFIG=json.dumps(own))
    found = backup.kafka_settings(made)
    assert found["bootstrap.servers"] == "kafka.example.org:9093"
    assert own.items() <= found.items()


# --- snapshots


def test_a_snapshot_outlives_a_servers_patience_with_idle_transactions(tmp_path):
    """Another database before it may take hours to dump."""
    with throwaway.server() as url:
        console = url.format(database="console")
        with contextlib.closing(psycopg2.connect(console)) as connection:
            connection.autocommit = True
            connection.cursor().execute(
                "ALTER DATABASE console SET idle_in_transaction_session_timeout = '200ms'"
            )
        with backup._snapshot("console", console) as found:
            time.sleep(0.6)
            with contextlib.closing(psycopg2.connect(console)) as other:
                other.set_session(isolation_level="REPEATABLE READ")
                other.cursor().execute("SET TRANSACTION SNAPSHOT %s", [found["snapshot"]])


# --- Kafka's topics: those of the console, not everybody's


class FakeAdmin:
    """A Kafka that others use too.

    refused: the topic about whose settings it does not tell; unknown: the one about which it tells nothing.
    """

    def __init__(self, names, refused="", unknown=""):
        self._names, self._refused, self._unknown = names, refused, unknown

    def list_topics(self, timeout):
        return SimpleNamespace(topics=dict.fromkeys(self._names))

    def describe_topics(self, wanted, request_timeout):
        return {
            name: _refused() if name == self._unknown else _answered(self._about(name))
            for name in wanted.topic_names
        }

    def _about(self, name):
        return SimpleNamespace(name=name, topic_id=f"id of {name}", partitions=[0, 1], is_internal=False)

    def describe_configs(self, resources, request_timeout):
        return {one: self._config(one.name) for one in resources}

    def _config(self, name):
        return _refused() if name in {self._refused, self._unknown} else _answered({})

    def list_consumer_group_offsets(self, _groups):
        places = [TopicPartition("predictions", 0, 7), TopicPartition("of_long_ago", 0, 3)]
        return {kafka_state.RECORDER: _answered(SimpleNamespace(topic_partitions=places))}


def _refused():
    answer = Future()
    answer.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    return answer


def _answered(value):
    answer = Future()
    answer.set_result(value)
    return answer


OWN = {"predictions", "orders"}


def test_a_backup_takes_the_consoles_own_topics_and_those_beside_them():
    beside = {"predictions.dead", "orders.dead", "orders-dead", "orders.anomalies"}
    foreign = {"salaries", "salaries.dead", "orders.internal", "orders2"}
    found = kafka_state._topics(FakeAdmin(OWN | beside | foreign), OWN)
    assert set(found) == OWN | beside
    assert found["orders"] == {"id": "id of orders", "partitions": 2, "config": {}}


def test_a_topic_about_which_kafka_does_not_tell_is_set_aside_and_said(capsys):
    found = kafka_state._topics(FakeAdmin(OWN, unknown="orders"), OWN)
    assert set(found) == {"predictions"}
    assert "the topic orders is made, which is left out" in capsys.readouterr().out


def test_a_topic_whose_settings_kafka_does_not_tell_keeps_its_place(capsys, monkeypatch):
    """The recorder's position means something by the topic's id."""
    monkeypatch.setattr(kafka_state, "AdminClient", lambda _settings: FakeAdmin(OWN, refused="predictions"))
    saved = kafka_state.state({}, OWN)
    assert saved["topics"]["predictions"] == {"id": "id of predictions", "partitions": 2, "config": {}}
    assert "settings of the topic predictions" in capsys.readouterr().out
    assert kafka_state.positions_to_set(saved, {"predictions": "id of predictions"})


def test_a_backup_without_the_topic_of_records_is_none(monkeypatch):
    monkeypatch.setattr(kafka_state, "AdminClient", lambda _settings: FakeAdmin(OWN, unknown="predictions"))
    with pytest.raises(StackError, match="which topic predictions is"):
        kafka_state.state({}, OWN)


@pytest.mark.django_db(transaction=True)
def test_own_topics_are_those_of_streams_replays_and_jobs():
    stream = Stream.objects.create(name="s", topic="clicks", other_dead_topic="clicks_lost", definition={})
    RuleState.objects.create(stream=stream, topic_id="i", other_topic="clicks_odd")
    Replay.objects.create(source="a.csv", topic="replayed")
    Job.objects.create(app="stream_trips", params={"topic": "trips", "sink_topic": "sums"})
    Job.objects.create(app="clean_trips", params={"rows": 3})
    about = django_settings.DATABASES["default"]
    parts = {
        "host": about["HOST"],
        "port": about["PORT"],
        "user": about["USER"],
        "password": about["PASSWORD"],
    }
    found = kafka_state.own_topics(make_dsn(dbname=about["NAME"], **parts), records="predictions")
    ours = {"clicks", "clicks_lost", "clicks_odd", "replayed", "trips", "sums", "predictions"}
    assert found - {"taxi_trips"} == ours  # a stream that is there from the start, unless a test emptied all
    assert kafka_state.own_topics(make_dsn(dbname="postgres", **parts), records="p") == {"p"}
