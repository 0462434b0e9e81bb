"""Topics are kept as settings say; one that is there is altered when its setting changes, and else never."""

import pytest
from confluent_kafka import KafkaError
from django.core.management import call_command

from console import checks, doctor
from console.doctor import Wrong
from core.lib import topic_days, topics
from jobs.models import Job
from streaming import dead_topics
from streaming.models import RuleState
from tests.fakes.kafka import Broker, fault
from tests.unit.streaming.events import make_stream

DAY_MS = 86_400_000
pytestmark = pytest.mark.django_db


@pytest.fixture
def broker(monkeypatch) -> Broker:
    broker = Broker()
    broker.install(monkeypatch)
    return broker


def ensure(capsys) -> tuple[str, str]:
    """What the command of set-up says: to everybody, and what is wrong."""
    call_command("ensure_topics")
    said = capsys.readouterr()
    return said.out, said.err


def days_of(broker: Broker, topic: str) -> float:
    return int(broker.configs[topic]["retention.ms"]) / DAY_MS


def test_topics_are_made_with_the_days_of_their_kind(broker, settings, capsys):
    settings.CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS = 3
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 0
    ensure(capsys)
    found = {name: days_of(broker, name) for name in ("predictions", "ride_events", "taxi_trips")}
    assert found == {"predictions": 3, "ride_events": 7, "taxi_trips": 7}
    assert broker.configs["predictions.dead"]["retention.ms"] == "-1"
    assert "before" not in "".join(ensure(capsys))


@pytest.mark.parametrize("days", [2, 60, 0])
def test_a_change_is_carried_to_a_topic_that_is_there_once_and_said(broker, settings, capsys, days):
    ensure(capsys)
    settings.CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS = days
    out, _err = ensure(capsys)
    said = f"{days} days" if days else "for ever"
    assert (
        f"predictions: messages are kept {said}, before: 7 days (CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS)" in out
    )
    assert broker.configs["predictions"]["retention.ms"] == str(days * DAY_MS or -1)
    assert broker.configs["predictions"]["cleanup.policy"] == "delete"
    assert days_of(broker, "taxi_trips") == 7
    n_altered = broker.steps.count("alter_configs")
    assert ensure(capsys)[0] == "all topics are there\n"
    assert broker.steps.count("alter_configs") == n_altered == 1


def test_what_somebody_else_gave_a_topic_stays_until_the_setting_changes(broker, settings, capsys):
    ensure(capsys)
    broker.configs["predictions"]["retention.ms"] = str(90 * DAY_MS)
    ensure(capsys)
    assert days_of(broker, "predictions") == 90
    settings.CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS = 14
    ensure(capsys)
    assert days_of(broker, "predictions") == 14
    broker.configs["predictions"]["retention.ms"] = str(90 * DAY_MS)
    ensure(capsys)
    assert days_of(broker, "predictions") == 90
    settings.CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS = 7  # back to what it was in the beginning is a change too
    ensure(capsys)
    assert days_of(broker, "predictions") == 7


def test_a_topic_that_kafka_does_not_let_alter_is_named_and_tried_again(broker, settings, capsys):
    ensure(capsys)
    settings.CONSOLE_EVENT_TOPICS_KEEP_DAYS = 2
    broker.fail("alter_configs", fault(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    out, err = ensure(capsys)
    assert "ride_events: Kafka refuses to keep messages 2 days (CONSOLE_EVENT_TOPICS_KEEP_DAYS)" in err
    assert "taxi_trips: messages are kept 2 days" in out
    assert (days_of(broker, "ride_events"), days_of(broker, "taxi_trips")) == (7, 2)
    ensure(capsys)
    assert days_of(broker, "ride_events") == 2


def test_topics_beside_others_follow_and_those_of_others_do_not(broker, settings, capsys):
    """Their own topic may be somebody else's: the console made only what lies beside it."""
    stream = make_stream("rides", topic="company_rides")
    RuleState.objects.create(stream=stream, other_topic="company_rides-anomalies")
    Job.objects.create(app="stream_trips", params={"topic": "company_trips"})
    side = ["company_rides.dead", "company_rides-anomalies", "company_trips.dead"]
    for name in ("company_rides", "company_trips", "other.dead", *side):
        broker.add(name)
        broker.configs[name]["retention.ms"] = str(30 * DAY_MS)
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 10
    settings.CONSOLE_EVENT_TOPICS_KEEP_DAYS = 1
    ensure(capsys)
    assert [days_of(broker, name) for name in side] == [10, 10, 10]
    assert [days_of(broker, name) for name in ("company_rides", "company_trips", "other.dead")] == [
        30,
        30,
        30,
    ]


@pytest.mark.parametrize("days", [365, 90, 5, -1])
def test_a_topic_that_had_other_days_before_anybody_noted_them_keeps_them(broker, settings, capsys, days):
    """It may be somebody's own, or have been given more by hand since it was made."""
    make_stream("orders", topic="orders")
    broker.add("orders.dead")
    broker.configs["orders.dead"]["retention.ms"] = kept = str(days * DAY_MS if days > 0 else days)
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 10
    for _ in range(2):
        assert "orders.dead" not in ensure(capsys)[0]
        assert broker.configs["orders.dead"]["retention.ms"] == kept
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 12  # asked for since
    assert "orders.dead: messages are kept 12 days" in ensure(capsys)[0]


def test_what_the_console_makes_beside_a_topic_follows_each_change(broker, settings, capsys):
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 10
    stream = make_stream("orders", topic="orders")
    Job.objects.create(app="stream_trips", params={"topic": "company_trips"})
    dead_topics.ensure(stream)
    topic_days.ensure_beside("company_trips", "dead")
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 20
    ensure(capsys)
    assert [days_of(broker, name) for name in ("orders.dead", "company_trips.dead")] == [20, 20]


def test_the_doctor_names_a_topic_that_is_kept_for_another_time(broker, capsys):
    ensure(capsys)
    assert doctor._topics() == "kept as the settings say"
    broker.configs["predictions"]["retention.ms"] = str(90 * DAY_MS)
    broker.configs["taxi_trips"]["retention.ms"] = "5400000"
    with pytest.raises(Wrong) as found:
        doctor._topics()
    assert found.value.words == (
        "predictions: 90 days, CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS says 7 days; "
        "taxi_trips: 1.5 hours, CONSOLE_EVENT_TOPICS_KEEP_DAYS says 7 days"
    )


def test_the_page_shows_settings_and_days(broker, settings, admin_page):
    settings.CONSOLE_SIDE_TOPICS_KEEP_DAYS = 11
    make_stream("rides", topic="company_rides")
    page = admin_page.get("/system/doctor").content.decode()
    assert "company_rides.dead" in page
    assert "11 days" in page
    assert all(setting in page for setting in topics.KEPT)


def test_days_before_anybody_sets_any_are_those_that_topics_are_made_with(settings):
    assert {setting: getattr(settings, setting) for setting in topics.KEPT} == topic_days.DEFAULT_DAYS


@pytest.mark.parametrize(
    ("setting", "days", "rows", "is_sound"),
    [
        (topics.SIDE, -1, 0, False),
        (topics.RECORDS, 14, 14, False),  # rows that were removed would come back from Kafka
        (topics.RECORDS, 14, 15, True),
        (topics.RECORDS, 0, 400, False),
        (topics.RECORDS, 0, 0, True),
    ],
)
def test_days_that_cannot_be_are_named(settings, setting, days, rows, is_sound):
    setattr(settings, setting, days)
    settings.CONSOLE_PREDICTIONS_KEEP_DAYS = rows
    assert (list(checks._kept_days()) == []) == is_sound
