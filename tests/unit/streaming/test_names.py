"""Topics that Kafka does not create beside one another, and names that are none."""

import pytest
from confluent_kafka import KafkaError

from streaming import defaults
from streaming.models import Stream
from tests.fakes.kafka import fault
from tests.people import make_user, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


def define(engineer, topic, name="mine"):
    body = {"name": name, "topic": topic, "definition": defaults.TAXI_TRIPS}
    return engineer.post("/api/v1/streams", body, content_type="application/json")


@pytest.mark.parametrize("topic", [".", "..", "", "a b", "é", "x" * 250, "a/b"])
def test_what_is_no_topic_is_refused(broker, engineer, topic):
    assert define(engineer, topic).status_code == 422
    form = {"name": "mine", "topic": topic, "definition": "{}"}
    assert engineer.post("/streams/-/new", form).status_code == 422
    assert not Stream.objects.filter(name="mine").exists()


def test_a_name_of_249_characters_is_one(broker, engineer):
    answer = define(engineer, "x" * 249)
    assert answer.status_code == 201
    assert len(answer.json()["dead_topic"]) <= 249


def test_a_topic_beside_which_kafka_creates_none_is_named(broker, engineer):
    broker.add("orders.x")
    answer = define(engineer, "orders_x")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "topic"
    assert "“orders.x”" in error["message"]
    assert define(engineer, "orders.x").status_code == 201


def test_two_streams_cannot_want_topics_that_collide(broker, engineer):
    assert define(engineer, "orders.x").status_code == 201
    assert define(engineer, "orders_x", name="other").status_code == 422
    assert define(engineer, "orders.x", name="same").status_code == 201


def test_topics_that_collide_since_long_ago_are_both_good(broker, engineer):
    broker.add("orders.x")
    broker.add("orders_x")
    assert define(engineer, "orders_x").status_code == 201


def test_a_stream_is_defined_while_kafka_is_away(broker, engineer):
    broker.fail("list_topics", fault(KafkaError._TRANSPORT))
    assert define(engineer, "orders_x").status_code == 201
