"""Jobs that run until somebody stops them: asked to end, restarted, with progress on their page."""

import json

import pytest
from confluent_kafka import KafkaError

from core.lib.errors import Conflict, InvalidRequest
from jobs import actions, gateway, launching, supplies, tasks
from jobs.models import Job
from jobs.spark_apps import stream_trips
from jobs.spark_apps.kafka import DEAD_TOPIC_FILE
from tests.fakes.kafka import Broker, fault
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.unit.jobs.conftest import attend, ended, follow, running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("job_folders")]

PARAMS = {"topic": "taxi_trips", "name": "trips"}
PROGRESS = {
    "at": 1767225600.0,
    "queries": [
        {
            "name": "windows",
            "batch": 7,
            "rows": 1234,
            "rows_per_s": 88.5,
            "batch_ms": 250,
            "state_rows": 12,
            "state_bytes": 2048,
            "late_windows": 3,
            "watermark": "2026-01-01T00:00:00.000Z",
        }
    ],
    "history": [{"at": "2026-01-01T00:00:00Z", "rows_per_s": 80.0}, {"at": "", "rows_per_s": 88.5}],
}
# As `stream_trips` does: tell how it fares, look for the file that asks it to end, leave a result.
STREAMS = f"""
folder = pathlib.Path(argument["--result"]).parent
(folder / "progress.json").write_text('''{json.dumps(PROGRESS)}''')
while not (folder / "stop").exists():
    time.sleep(0.05)
finish({{"checkpoint": "trips"}})
"""


@pytest.fixture(autouse=True)
def kafka(settings, tmp_path, monkeypatch):
    """A Kafka without topics, and jars to reach it."""
    broker = Broker()
    broker.install(monkeypatch)
    settings.CONSOLE_SPARK_JARS = tmp_path / "jars"
    settings.CONSOLE_SPARK_JARS.mkdir()
    (settings.CONSOLE_SPARK_JARS / "connector.jar").touch()
    settings.CONSOLE_KAFKA_CONFIG = {"sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "hush"}
    return broker


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    monkeypatch.setattr(tasks.attend, "apply_async", lambda *_args, **_options: None)


@pytest.fixture
def engineer():
    return make_user("eng", "engineer")


@pytest.fixture
def job(program, engineer) -> Job:
    program.does(STREAMS)
    return running(attend(actions.submit_job("stream_trips", params=PARAMS, by=engineer)), program)


def test_it_may_run_for_ever_and_tells_how_it_fares(job):
    assert job.is_streaming
    assert job.folder.launch["longest_s"] is None
    job = follow(job, lambda job: job.progress)
    assert job.progress == PROGRESS


def test_cancel_asks_it_to_end_and_keeps_its_result(job, engineer):
    actions.cancel_job(job, by=engineer)
    job = ended(attend(job))
    assert (job.state, job.result, job.exit_code, job.error) == ("cancelled", {"checkpoint": "trips"}, 0, "")
    assert job.progress == PROGRESS


def test_one_that_does_not_end_when_asked_is_told_to(program, engineer, monkeypatch):
    monkeypatch.setattr(launching, "ASKS_FOR_S", 0.3)
    program.does("time.sleep(60)")
    job = running(attend(actions.submit_job("stream_trips", params=PARAMS, by=engineer)), program)
    actions.cancel_job(job, by=engineer)
    job = ended(attend(job))
    assert (job.state, job.exit_code) == ("cancelled", -15)


def test_restart_goes_on_as_a_new_job_once_it_ended(job, engineer):
    with pytest.raises(Conflict, match="has not ended"):
        actions.restart_job(job, by=engineer)
    with pytest.raises(Conflict, match=f"The job {job.pk} works with the checkpoint “trips”"):
        actions.submit_job("stream_trips", params=PARAMS, by=engineer)
    other = actions.submit_job("stream_trips", params=PARAMS | {"name": "other"}, by=engineer)
    assert other.pk != job.pk
    actions.cancel_job(job, by=engineer)
    again = actions.restart_job(ended(attend(job)), by=engineer)
    assert (again.params, again.state) == (job.params, "queued")


def test_only_streaming_jobs_restart(engineer):
    job = Job.objects.create(
        app="clean_trips", state="failed", next_attempt_at=None, ended_at="2026-01-01T00:00Z"
    )
    with pytest.raises(Conflict, match="Only a streaming job"):
        actions.restart_job(job, by=engineer)


def test_streams_take_no_place_of_other_jobs(job, settings, engineer):
    settings.CONSOLE_JOBS_AT_ONCE = settings.CONSOLE_STREAMS_AT_ONCE = 1
    batch = actions.submit_job("clean_trips", params={"source": "trips.parquet"}, by=engineer)
    stream = actions.submit_job("stream_trips", params=PARAMS | {"name": "b"}, by=engineer)
    assert (attend(batch).state, attend(stream).state) == ("starting", "queued")


def test_the_password_of_kafka_is_in_a_private_file_that_goes_with_the_job(job, kafka, engineer):
    access = job.folder.access
    assert access.stat().st_mode & 0o777 == 0o600
    assert "hush" in json.loads(access.read_text())["kafka"]["kafka.sasl.jaas.config"]
    plan = (job.folder.path / "launch.json").read_text()
    assert "hush" not in plan
    assert "connector.jar" in plan
    assert list(kafka.topics) == ["taxi_trips.dead"]
    assert (job.folder.supplies / DEAD_TOPIC_FILE).read_text() == "taxi_trips.dead"
    actions.cancel_job(job, by=engineer)
    ended(attend(job))
    assert not access.exists()


def test_an_application_that_needs_nothing_is_given_nothing(program, engineer):
    program.does("time.sleep(60)")
    job = running(
        attend(actions.submit_job("clean_trips", params={"source": "trips.parquet"}, by=engineer)), program
    )
    assert json.loads(job.folder.access.read_text()) == {}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"topic": "predictions"}, "topic", "console's own"),
        ({"topic": "taxi_trips.dead"}, "topic", "dead letters"),
        ({"topic": "a,b"}, "topic", "characters that do not belong here"),
        ({"name": "../x"}, "name", "characters that do not belong here"),
        ({"topic": "."}, "topic", "characters that do not belong here"),
        ({"topic": "__consumer_offsets"}, "topic", "console's own"),
        ({"topic": "orders.dead"}, "topic", "dead letters"),
        ({"topic": "or_ders"}, "topic", "beside “or.ders”"),
        ({"sink_topic": ".."}, "sink_topic", "characters that do not belong here"),
        ({"sink_topic": "__consumer_offsets"}, "sink_topic", "writes or reads this topic"),
        ({"sink_topic": "or_ders"}, "sink_topic", "beside “or.ders”"),
        ({"sink_topic": "taxi.trips"}, "sink_topic", "beside “taxi_trips”"),
        ({"sink_topic": "taxi_trips_dead"}, "sink_topic", "beside “taxi_trips.dead”"),
        ({"sink_topic": "predictions"}, "sink_topic", "writes or reads this topic"),
        ({"sink_topic": "taxi_trips"}, "sink_topic", "writes or reads this topic"),
        ({"lateness_min": -1}, "lateness_min", "at least 0"),
    ],
)
def test_topics_and_names_that_it_may_not_have_are_refused(kafka, engineer, changes, field, words):
    for topic in ("orders", "or.ders"):
        kafka.add(topic)
    with pytest.raises(InvalidRequest) as refused:
        actions.submit_job("stream_trips", params=PARAMS | changes, by=engineer)
    [fault] = refused.value.errors
    assert fault["field"] == f"params.{field}"
    assert words in fault["message"]


@pytest.mark.parametrize("topic", ["__mine", "walking.dead", "..."])
def test_a_name_that_only_looks_like_another_s_may_be_read(engineer, topic):
    sink = {"sink_topic": "__results"}
    assert actions.submit_job("stream_trips", params=PARAMS | sink | {"topic": topic}, by=engineer)


def test_a_stream_is_submitted_while_kafka_is_away(kafka, engineer):
    kafka.fail("list_topics", fault(KafkaError._TRANSPORT))
    assert actions.submit_job("stream_trips", params=PARAMS, by=engineer)


def test_a_name_of_dead_letters_is_refused_while_kafka_cannot_say_whose(kafka, engineer):
    kafka.fail("list_topics", fault(KafkaError._TRANSPORT))
    with pytest.raises(InvalidRequest) as refused:
        actions.submit_job("stream_trips", params=PARAMS | {"topic": "walking.dead"}, by=engineer)
    assert "holds dead letters" in refused.value.errors[0]["message"]


@pytest.mark.parametrize(
    ("topic", "name"),
    [("orders", "orders.dead"), ("orders_x", "orders_x-dead"), ("x" * 249, None), ("x" * 245, None)],
)
def test_the_driver_is_told_what_its_topic_of_dead_letters_is_called(kafka, tmp_path, topic, name):
    kafka.add("orders.x.dead")
    for _time in range(2):
        supplies.make_topics({"topic": topic, "sink_topic": "counted"}, tmp_path)
    told = (tmp_path / DEAD_TOPIC_FILE).read_text()
    assert told == (name or told)
    assert told.endswith("dead")
    assert {told, "counted"} <= set(kafka.topics)


def test_driver_and_console_know_the_same_names():
    assert stream_trips.TOPIC_NAME == supplies.topics.TOPIC_NAME


def test_without_jars_it_is_refused(engineer, settings):
    settings.CONSOLE_SPARK_JARS = None
    assert gateway.connector_jars() == []
    with pytest.raises(InvalidRequest, match="set CONSOLE_SPARK_JARS"):
        actions.submit_job("stream_trips", params=PARAMS, by=engineer)


def make_ended(**values):
    return Job.objects.create(
        app="stream_trips",
        params=PARAMS,
        is_streaming=True,
        state="cancelled",
        next_attempt_at=None,
        ended_at="2026-01-01T00:00Z",
        **values,
    )


def test_its_page_shows_how_it_fares_and_restarts_it(engineer):
    browser = signed_in(engineer)
    job = make_ended(progress=PROGRESS)
    page = flat(browser.get(f"/jobs/{job.pk}"))
    for words in ("88.5", "1 234", "250 ms", "exactly once", "at least once", "Restart"):
        assert words in page.replace("\u2009", " ").replace("\u202f", " "), words
    answer = browser.post(f"/jobs/{job.pk}/restart")
    again = Job.objects.exclude(pk=job.pk).get()
    assert answer["Location"] == f"/jobs/{again.pk}"
    assert (again.is_streaming, again.params["name"]) == (True, "trips")


def test_its_page_before_the_first_batch_and_for_who_may_not(engineer):
    job = make_ended()
    page = flat(signed_in(make_user("vic", "viewer")).get(f"/jobs/{job.pk}"))
    assert "It ended before its first batch" in page
    assert "Restart" not in page.replace("Restarted", "")
