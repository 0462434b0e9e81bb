"""Topics created, changed, purged and deleted by people: over REST and by pages, on a broker in memory."""

import re
from urllib.parse import urljoin

import pytest
from confluent_kafka import KafkaError
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from core.audit.models import AuditEntry
from jobs.models import Job, JobState
from streaming.models import Replay, ReplayState
from tests.fakes.kafka import fault
from tests.people import make_user, signed_in
from tests.unit.streaming.events import make_stream

pytestmark = pytest.mark.django_db

JSON = "application/json"
CHANGES = [
    ("POST", "/api/v1/topics"),
    ("PATCH", "/api/v1/topics/orders"),
    ("DELETE", "/api/v1/topics/orders"),
    ("POST", "/api/v1/topics/orders/purge"),
    ("GET", "/topics/-/new"),
    ("POST", "/topics/orders/config"),
    ("POST", "/topics/orders/partitions"),
    ("GET", "/topics/orders/purge"),
    ("GET", "/topics/orders/delete"),
]


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


@pytest.fixture
def viewer():
    return signed_in(make_user("vic", "viewer"))


@pytest.fixture
def orders(broker):
    broker.add("orders", n_partitions=2)
    broker.put("orders", b"1", b"2", b"3")
    broker.put("orders", b"4", partition=1)


def create(browser, **body):
    return browser.post("/api/v1/topics", {"name": "orders", **body}, content_type=JSON)


def change(browser, name="orders", **body):
    return browser.patch(f"/api/v1/topics/{name}", body, content_type=JSON)


def purge(browser, name="orders", **body):
    return browser.post(f"/api/v1/topics/{name}/purge", body, content_type=JSON)


def actions() -> list[str]:
    """Of the trail, on topics, in their order."""
    found = AuditEntry.objects.filter(action__startswith="topic.").order_by("pk")
    return list(found.values_list("action", flat=True))


def faults(answer) -> dict[str, str]:
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_a_topic_is_created_with_partitions_and_settings(broker, engineer):
    answer = create(engineer, n_partitions=3, config={"retention.ms": 1000, "cleanup.policy": "compact"})
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == "/api/v1/topics/orders"
    assert [one["number"] for one in answer.json()["partitions"]] == [0, 1, 2]
    assert broker.configs["orders"]["retention.ms"] == "1000"
    assert broker.configs["orders"]["cleanup.policy"] == "compact"
    entry = AuditEntry.objects.get(action="topic.create")
    assert (entry.object_type, entry.object_id, entry.after["n_partitions"]) == ("topic", "orders", 3)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"name": "a b"}, "name", "letters, digits"),
        ({"name": ".."}, "name", "letters, digits"),
        ({"name": "x" * 250}, "name", "at most 249"),
        ({"name": "orders_x"}, "name", "“orders.x”"),
        ({"name": "__consumer_offsets"}, "name", "own books"),
        ({"replication_factor": 3}, "replication_factor", "Unable to replicate"),
        ({"n_partitions": 0}, "n_partitions", ""),
        ({"n_partitions": 1001}, "n_partitions", "1 to 1000"),
        ({"config": {"retention.hours": "1"}}, "config", "Unknown topic config name: retention.hours"),
        ({"config": {"retention.ms": "soon"}}, "config", "Not a number of type LONG"),
        ({"config": {"a\x00": "1"}}, "config", "null character"),
        ({"config": {"": "1"}}, "config", "needs a name"),
        ({"config": {"min.insync.replicas": 2}, "replication_factor": 1}, "config", "2 of 1 replicas"),
        ({"partitions": 3}, "partitions", "no such field"),
    ],
)
def test_what_is_no_topic_is_refused_at_its_field(broker, engineer, body, field, words):
    broker.add("orders.x")
    answer = create(engineer, **{"name": "new", **body})
    assert answer.status_code == 422
    assert words in faults(answer)[field]
    assert list(broker.topics) == ["orders.x"]
    assert actions() in ([], ["topic.create", "topic.refused"])


def test_a_topic_of_the_name_is_a_conflict(broker, engineer, orders):
    assert create(engineer).status_code == 409


def test_a_topic_of_which_nobody_knows_whether_it_was_created_says_so_in_the_trail(broker, engineer):
    broker.fail("create_topics", fault(KafkaError._TIMED_OUT))
    answer = create(engineer)
    assert answer.status_code == 503
    assert actions() == ["topic.create", "topic.not_confirmed"]


def test_what_kafka_refuses_is_said_by_a_second_entry(broker, engineer):
    broker.fail("create_topics", fault(KafkaError.POLICY_VIOLATION, "Not on my broker"))
    assert create(engineer).status_code == 422
    assert actions() == ["topic.create", "topic.refused"]
    refused = AuditEntry.objects.get(action="topic.refused")
    assert (refused.object_id, refused.actor_name) == ("orders", "eng")
    assert refused.after["change"] == "topic.create"
    assert "Not on my broker" in refused.after["error"]


def test_of_two_changes_the_one_that_was_made_is_not_said_to_be_refused(broker, engineer, orders):
    real = broker.step

    def step(name):
        if name == "create_partitions" and "create_partitions" in broker.steps:  # the first is the trial
            raise fault(KafkaError.REASSIGNMENT_IN_PROGRESS)
        real(name)

    broker.step = step
    assert change(engineer, config={"retention.ms": "1000"}, n_partitions=4).status_code == 409
    assert actions() == ["topic.change", "topic.change", "topic.refused"]
    made, wanted, _refused = AuditEntry.objects.filter(action__startswith="topic.").order_by("pk")
    assert made.after == {"config": {"retention.ms": "1000"}}
    assert wanted.after == {"n_partitions": 4}


@pytest.mark.django_db(transaction=True)
def test_the_entry_is_committed_before_kafka_is_asked(broker, engineer):
    """Whoever is killed while Kafka works leaves it; and no transaction of the database waits for Kafka."""
    seen = []
    real = broker.step

    def step(name):
        if name == "create_topics":
            seen.append((connection.in_atomic_block, actions()))
        real(name)

    broker.step = step
    assert create(engineer).status_code == 201
    assert seen == [(False, ["topic.create"])]


def test_settings_tell_who_says_them_and_their_default(viewer, engineer, orders):
    assert change(engineer, config={"retention.ms": "1000", "max.message.bytes": 9}).status_code == 200
    size, first, *others = viewer.get("/api/v1/topics/orders/config").json()["results"]
    assert (first["name"], first["value"], first["source"]) == ("retention.ms", "1000", "topic")
    assert first["default"] is None  # Kafka tells none of this one
    assert (size["name"], size["value"], size["default"]) == ("max.message.bytes", "9", "1048588")
    assert first["docs_url"].endswith("#topicconfigs_retention.ms")
    assert first["help"].startswith("For how long")
    assert {one["source"] for one in others} == {"default"}


def test_a_setting_is_set_and_reset_and_the_others_stay(broker, engineer, orders):
    change(engineer, config={"retention.ms": "1000", "cleanup.policy": "compact"})
    answer = change(engineer, config={"retention.ms": None})
    assert answer.status_code == 200
    assert broker.configs["orders"]["retention.ms"] == "604800000"
    assert broker.configs["orders"]["cleanup.policy"] == "compact"
    entry = AuditEntry.objects.filter(action="topic.change").order_by("-pk").first()
    assert (entry.before, entry.after) == (
        {"config": {"retention.ms": "1000"}},
        {"config": {"retention.ms": None}},
    )


def test_nothing_is_changed_where_a_part_is_refused(broker, engineer, orders):
    answer = change(engineer, n_partitions=3, config={"retention.ms": "1000", "retention.hours": "1"})
    assert answer.status_code == 422
    assert "retention.hours" in faults(answer)["config"]
    assert len(broker.topics["orders"]) == 2
    assert broker.configs["orders"]["retention.ms"] == "604800000"


def test_partitions_only_grow_and_keys_move(broker, engineer, orders):
    assert "takes none away" in faults(change(engineer, n_partitions=1))["n_partitions"]
    answer = change(engineer, n_partitions=3)
    assert len(answer.json()["partitions"]) == 3
    assert "Keys move" in answer.json()["warnings"][0]
    assert change(engineer, n_partitions=3).json()["warnings"] == []


def test_a_topic_is_deleted_with_its_number_of_messages_in_the_trail(broker, engineer, orders):
    assert engineer.delete("/api/v1/topics/orders").status_code == 204
    assert "orders" not in broker.topics
    assert AuditEntry.objects.get(action="topic.delete").before == {"n_partitions": 2, "n_messages": 4}
    assert engineer.delete("/api/v1/topics/orders").status_code == 404


def test_messages_are_purged_up_to_an_offset_or_all(broker, engineer, orders):
    [answer] = purge(engineer, offsets={"0": 2}).json()["results"]
    assert answer == {"partition": 0, "low": 2, "error": ""}
    assert [one.value for one in broker.read("orders")] == [b"3", b"4"]
    assert [one["low"] for one in purge(engineer, all=True).json()["results"]] == [3, 1]
    assert broker.read("orders") == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"all": True, "offsets": {"0": 1}},
        {"offsets": {}},
        {"offsets": {"²": 1}},
        {"offsets": {"7": 0}},
        {"offsets": {"0": 4}},
    ],
)
def test_a_purge_that_says_too_little_or_too_much_is_refused(broker, engineer, orders, body):
    answer = purge(engineer, **body)
    assert answer.status_code == 422
    assert "offsets" in faults(answer)
    assert len(broker.read("orders")) == 4


def test_a_compacted_topic_is_not_purged(broker, engineer, orders):
    change(engineer, config={"cleanup.policy": "compact"})
    answer = purge(engineer, all=True)
    assert answer.status_code == 409
    assert "is compacted" in answer.json()["detail"]
    assert "Policy violation" in answer.json()["detail"]  # Kafka's words


def test_one_partitions_fault_is_its_own(broker, engineer, orders):
    def purged(place):
        if place.partition:
            raise fault(KafkaError.NOT_LEADER_FOR_PARTITION)
        return real(admin, place)

    from tests.fakes.kafka import FakeAdmin

    real, admin = FakeAdmin._purge, FakeAdmin(broker)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeAdmin, "_purge", lambda _self, place: purged(place))
        first, second = purge(engineer, all=True).json()["results"]
    assert (first["low"], first["error"]) == (3, "")
    assert second["low"] is None
    assert "leader" in second["error"].lower()


def test_a_partition_that_nobody_leads_is_not_purged(broker, engineer, orders):
    broker.topics["orders"][1].is_led = False
    first, second = purge(engineer, all=True).json()["results"]
    assert (first["low"], first["error"]) == (3, "")
    assert second["low"] is None
    assert "nobody leads" in second["error"]
    answer = purge(engineer, offsets={"1": 0})
    assert answer.status_code == 422
    assert "nobody leads" in answer.json()["detail"]


KEPT = {
    "predictions": "comes with the console",
    "predictions.dead": "comes with the console",
    "taxi_trips": "comes with the console",
    "__consumer_offsets": "own books",
    "counted": "stream “books” counts",
    "counted.dead": "dead letters or anomalies",
    "replayed": "is sending to",
    "spark_in": "A job of stream_trips",
    "spark_out": "A job of stream_trips",
}


@pytest.fixture
def in_use(broker):
    for name in KEPT:
        if not name.startswith("__"):
            broker.add(name)
    make_stream("books", topic="counted")
    Replay.objects.create(source="a", topic="replayed", rate=1, state=ReplayState.RUNNING)
    Job.objects.create(app="stream_trips", params={"topic": "spark_in", "sink_topic": "spark_out"})


@pytest.mark.parametrize(("name", "words"), KEPT.items())
def test_what_the_console_or_kafka_needs_is_neither_deleted_nor_purged(broker, engineer, in_use, name, words):
    for answer in (engineer.delete(f"/api/v1/topics/{name}"), purge(engineer, name, all=True)):
        assert answer.status_code == 409
        assert words in answer.json()["detail"]
    page = engineer.get(f"/topics/{name}/delete")
    if not name.startswith("__"):
        assert words in page.content.decode().replace("&#x27;", "'")
        assert "btn-danger-solid" not in page.content.decode()


def test_what_has_ended_keeps_no_topic(broker, engineer, in_use):
    Replay.objects.update(state=ReplayState.DONE, ended_at=timezone.now())
    Job.objects.update(state=JobState.CANCELLED, next_attempt_at=None, ended_at=timezone.now())
    for name in ("replayed", "spark_in", "spark_out"):
        assert engineer.delete(f"/api/v1/topics/{name}").status_code == 204


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("predictions", 409),
        ("predictions.dead", 409),
        ("counted.dead", 409),
        ("counted", 200),
        ("taxi_trips", 200),
    ],
)
def test_only_the_console_configures_what_it_alone_writes(engineer, in_use, name, status):
    assert change(engineer, name, config={"retention.ms": "1"}).status_code == status


def test_kafka_away_is_said_in_words(broker, engineer, orders):
    broker.fail("describe_topics", *[fault(KafkaError._TRANSPORT)] * 3)
    for answer in (change(engineer, n_partitions=3), purge(engineer, all=True)):
        assert answer.status_code == 503
        assert "Kafka is not answering" in answer.json()["detail"]
    assert engineer.get("/topics/orders/delete").status_code == 503


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError.NOT_CONTROLLER, "Kafka is not answering. Try again soon."),
        (KafkaError.THROTTLING_QUOTA_EXCEEDED, "Kafka answered with an error: slow down"),
        (KafkaError.UNSUPPORTED_VERSION, "Kafka answered with an error: slow down"),
        (KafkaError.KAFKA_STORAGE_ERROR, "Kafka answered with an error: slow down"),
    ],
)
def test_what_kafka_answers_is_told_and_only_silence_is_called_so(broker, viewer, orders, code, words):
    broker.fail("list_topics", fault(code, "slow down"))
    answer = viewer.get("/api/v1/topics")
    assert (answer.status_code, answer.json()["detail"]) == (503, words)


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_viewer_changes_nothing(broker, viewer, orders, method, path):
    assert viewer.generic(method, path, b"{}", content_type=JSON).status_code == 403


def test_a_viewer_sees_no_buttons_and_an_engineer_does(broker, viewer, engineer, orders):
    words = {"/topics": "New topic", "/topics/orders": "Purge", "/topics/orders/config": "Add partitions"}
    for path, word in words.items():
        assert word not in viewer.get(path).content.decode()
        assert word in engineer.get(path).content.decode()


def test_pages_create_configure_and_delete(broker, engineer):
    form = {
        "name": "orders",
        "n_partitions": "2",
        "config": "retention.ms = 1000\r\n\r\ncleanup.policy=compact",
    }
    assert engineer.post("/topics/-/new", form)["Location"] == "/topics/orders"
    assert broker.configs["orders"]["retention.ms"] == "1000"
    assert "Kafka refused" in engineer.post("/topics/-/new", form).content.decode()
    reset = {"setting": "retention.ms", "value": "", "reset": "1"}
    assert engineer.post("/topics/orders/config", reset).status_code == 302
    assert broker.configs["orders"]["retention.ms"] == "604800000"
    wrong = engineer.post("/topics/orders/config", {"setting": "retention.ms", "value": "soon"})
    assert wrong.status_code == 422
    assert "Not a number" in wrong.content.decode()
    assert engineer.post("/topics/orders/partitions", {"n_partitions": "1"}).status_code == 422
    assert engineer.post("/topics/orders/partitions", {"n_partitions": "3"}).status_code == 302
    assert len(broker.topics["orders"]) == 3
    assert engineer.post("/topics/orders/delete", {"confirm": "order"}).status_code == 422
    assert engineer.post("/topics/orders/delete", {"confirm": "orders"})["Location"] == "/topics"
    assert "orders" not in broker.topics


def test_a_line_that_is_no_setting_is_told_and_nothing_typed_is_lost(broker, engineer):
    for config, words in (("retention.ms", "has no “=”"), ("a=1\na=2", "there twice")):
        page = engineer.post("/topics/-/new", {"name": "orders", "n_partitions": "1", "config": config})
        assert page.status_code == 422
        assert words in page.content.decode()
        assert 'value="orders"' in page.content.decode()
    assert broker.topics == {}


def test_pages_purge_a_partition_once_its_name_is_typed(broker, engineer, orders):
    form = {"partition": "0", "offset": "2", "confirm": "orders"}
    assert engineer.post("/topics/orders/purge", {**form, "confirm": ""}).status_code == 422
    assert engineer.post("/topics/orders/purge", {**form, "partition": ""}).status_code == 422
    assert engineer.post("/topics/orders/purge", {**form, "offset": "9"}).status_code == 422
    assert len(broker.read("orders")) == 4
    assert engineer.post("/topics/orders/purge", form).status_code == 302
    assert [one.value for one in broker.read("orders")] == [b"3", b"4"]
    rest = {"partition": "0", "offset": "", "confirm": "orders"}
    assert engineer.post("/topics/orders/purge", rest).status_code == 302
    assert [one.value for one in broker.read("orders")] == [b"4"]


def test_a_setting_is_changed_from_the_whole_of_its_value(broker, engineer, orders):
    replicas = ",".join(f"{n}:1" for n in range(100))  # 489 characters
    broker.configs["orders"]["leader.replication.throttled.replicas"] = replicas
    box = engineer.get("/topics/orders/settings").content.decode()
    [link] = re.findall(r'href="(/topics/orders/config\?setting=leader[^"]*)"', box)
    assert link == "/topics/orders/config?setting=leader.replication.throttled.replicas"
    page = engineer.get(link).content.decode()
    assert f'value="{replicas}"' in page
    assert 'value="leader.replication.throttled.replicas"' in page
    assert engineer.get("/topics/orders/config?setting=retention.hours").status_code == 200


def test_the_box_of_settings_marks_the_topics_own(viewer, engineer, orders):
    change(engineer, config={"retention.ms": "1000"})
    box = viewer.get(reverse("streams:topic-settings", args=["orders"])).content.decode()
    assert box.count("this topic") == 1
    assert "setting=retention.ms" not in box
    assert "setting=retention.ms" in engineer.get("/topics/orders/settings").content.decode()


def test_without_scripts_topics_and_groups_are_a_link_away(broker, viewer, orders):
    broker.numbers["g", "orders", 0] = 2
    pages = {
        "/topics": "/topics/orders",
        "/topics/orders": "First offset",
        "/consumer-groups?group=g": "Committed",
    }
    for path, held in pages.items():
        page = viewer.get(path).content.decode()
        assert held not in page
        [link] = {one for one in re.findall(r'<a href="([^"]*)">Show what', page) if "whole" in one}
        whole = viewer.get(urljoin(path, link.replace("&amp;", "&"))).content.decode()
        assert held in whole
        assert "<html" in whole
    assert "orders" in viewer.get("/topics?whole=1", headers={"HX-Request": "true"}).content.decode()
