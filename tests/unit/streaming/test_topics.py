"""Topics as the gateway tells of them: Kafka's own are nobody's; some need more to be read than others."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import ConsumerGroupType, KafkaError, KafkaException
from confluent_kafka.admin import OffsetSpec
from django.urls import reverse

from core.lib.errors import NotFound, Unauthorized, Unavailable
from streaming import gateway, groups, reading
from streaming.gateway import KafkaGateway
from streaming.groups import GroupGateway
from streaming.kafka_types import Messages, Partition, Read, Start
from tests.markup import flat
from tests.people import bearer, make_token, make_user, signed_in

BROKER = SimpleNamespace(id=1)
INTERNAL = {"__consumer_offsets": True, "__mine": False, "orders": False}


def done(value):
    future: Future = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


class Admin:
    """As AdminClient, with the topics of INTERNAL, each of one partition without a leader but the last."""

    def list_topics(self, timeout):
        return SimpleNamespace(topics=dict.fromkeys([*INTERNAL, "deleted_just_now"]))

    def describe_topics(self, names, request_timeout):
        return {name: done(self._described(name)) for name in names.topic_names}

    def _described(self, name):
        if name not in INTERNAL:
            return KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        leader = BROKER if name == "orders" else None
        part = SimpleNamespace(id=0, leader=leader, replicas=[BROKER], isr=[BROKER])
        return SimpleNamespace(name=name, is_internal=INTERNAL[name], partitions=[part])

    def list_offsets(self, places, request_timeout, isolation_level=None):
        return {place: done(self._offset(place)) for place in places}

    def _offset(self, place):
        return SimpleNamespace(offset=7)


KAFKA = KafkaGateway(Admin())


def test_kafkas_flag_decides_which_topics_are_listed():
    assert [topic.name for topic in KAFKA.topics()] == ["__mine", "orders"]


def test_a_topic_tells_of_its_partitions():
    assert KAFKA.topic("orders").partitions == [Partition(0, 7, 7, 1, 1, 1)]
    assert KAFKA.topic("__mine").partitions[0].leader == -1


class Failing(Admin):
    """Tells no offset where a topic's name is among those that fail."""

    def __init__(self, code, *names):
        self.code, self.names = code, names

    def _offset(self, place):
        failed = KafkaException(KafkaError(self.code))
        return failed if place.topic in self.names else super()._offset(place)


@pytest.mark.parametrize("code", [KafkaError.LEADER_NOT_AVAILABLE, KafkaError._TIMED_OUT])
def test_a_partition_that_nobody_answers_for_hides_no_other(code):
    found = {topic.name: topic.partitions for topic in KafkaGateway(Failing(code, "__mine")).topics()}
    assert found == {"__mine": [Partition(0, None, None, -1, 1, 1)], "orders": [Partition(0, 7, 7, 1, 1, 1)]}


def test_a_partition_with_one_end_told_has_neither():
    """Its leader went between the two questions: as an empty one, offsets would be moved to its end."""

    class Leaving(Admin):
        def list_offsets(self, places, request_timeout, isolation_level=None):
            lost = KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
            is_end = next(iter(places.values()))._value == OffsetSpec.latest()._value
            return {place: done(lost if is_end else self._offset(place)) for place in places}

    assert KafkaGateway(Leaving()).topic("orders").partitions == [Partition(0, None, None, 1, 1, 1)]


def test_what_else_is_in_the_way_of_an_offset_is_told():
    """Not shown as an empty topic: nobody was let in, or a broker that leads is late."""
    denied = KafkaError.TOPIC_AUTHORIZATION_FAILED
    for code, kind in ((denied, Unauthorized), (KafkaError._TIMED_OUT, Unavailable)):
        with pytest.raises(kind):
            KafkaGateway(Failing(code, "orders")).topics()


def test_a_topic_that_nobody_leads_is_shown_and_a_broker_that_is_away_told():
    names = ("__mine", "orders")
    leaderless = KafkaGateway(Failing(KafkaError.LEADER_NOT_AVAILABLE, *names))
    assert [topic.name for topic in leaderless.topics()] == ["__mine", "orders"]
    with pytest.raises(Unavailable):
        KafkaGateway(Failing(KafkaError._TRANSPORT, *names)).topics()


@pytest.mark.parametrize("name", ["__consumer_offsets", "unheard_of"])
def test_what_is_not_listed_is_not_there_by_name_either(name):
    with pytest.raises(NotFound):
        KAFKA.topic(name)
    with pytest.raises(NotFound):
        KAFKA.messages(name, start=Start("earliest"), limit=1)


@pytest.mark.django_db
@pytest.mark.parametrize("topic", ["__consumer_offsets", "__transaction_state"])
def test_nobody_counts_or_writes_kafkas_own_topics(topic):
    engineer = signed_in(make_user("eng", "engineer"))
    wish = {"name": "books", "topic": topic, "definition": {}}
    answer = engineer.post("/api/v1/streams", wish, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "topic"


@pytest.mark.django_db
def test_messages_with_predictions_need_the_right_to_see_predictions(client, settings, monkeypatch):
    monkeypatch.setattr(gateway, "connect", lambda: KAFKA)
    monkeypatch.setattr(gateway.messages, "read", lambda *_places, most: [])
    engineer = make_user("eng", "engineer")
    _token, key = make_token(engineer, "messages.read")
    for topic in (settings.CONSOLE_PREDICTIONS_TOPIC, f"{settings.CONSOLE_PREDICTIONS_TOPIC}.dead"):
        answer = client.get(f"/api/v1/topics/{topic}/messages", **bearer(key))
        assert answer.status_code == 403
        assert "predictions.see_all" in answer.json()["detail"]
    assert client.get("/api/v1/topics/orders/messages", **bearer(key)).status_code == 200
    engineer.token_scopes = frozenset({"messages.read"})
    assert not reading.may_read(engineer, settings.CONSOLE_PREDICTIONS_TOPIC)
    engineer.token_scopes = None
    assert reading.may_read(engineer, settings.CONSOLE_PREDICTIONS_TOPIC)


# --- groups


MEMBER = SimpleNamespace(member_id="m", client_id="c", host="/h", group_instance_id=None, assignment=None)


class Grouped(Admin):
    """Three groups, all on `orders` and `__mine`; `away` has no coordinator, `shy` may not be read."""

    away: tuple[str, ...] = ()
    listing: tuple[KafkaError, ...] = ()
    unlisted: tuple[KafkaError, ...] = ()  # of brokers beside those that list these

    def list_offsets(self, places, request_timeout, isolation_level=None):
        if any(spec._value == OffsetSpec.earliest()._value for spec in places.values()):
            return {place: done(SimpleNamespace(offset=0)) for place in places}
        return super().list_offsets(places, request_timeout)

    def list_consumer_groups(self, request_timeout):
        groups = [] if self.listing else [SimpleNamespace(group_id=name) for name in ("b", "a", "c")]
        return done(SimpleNamespace(valid=groups, errors=[*self.listing, *self.unlisted]))

    def describe_consumer_groups(self, names, request_timeout):
        kind = ConsumerGroupType.CLASSIC
        about = SimpleNamespace(state=SimpleNamespace(name="STABLE"), members=[MEMBER, MEMBER], type=kind)
        return {name: done(self._lost(name) or about) for name in names}

    def list_consumer_group_offsets(self, wanted, request_timeout):
        name = wanted[0].group_id
        topic = "orders" if name != "c" else "__mine"
        place = SimpleNamespace(topic=topic, partition=0, offset=4, error=None)
        return {name: done(self._lost(name) or SimpleNamespace(topic_partitions=[place]))}

    def _lost(self, name):
        return KafkaException(KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE)) if name in self.away else None


def test_groups_are_told_with_their_lag():
    found = GroupGateway(Grouped()).groups().groups
    assert [(group.name, group.n_members, group.lag_messages) for group in found] == [
        ("a", 2, 3), ("b", 2, 3), ("c", 2, 3),
    ]  # fmt: skip
    assert [group.name for group in GroupGateway(Grouped()).groups(topic="orders").groups] == ["a", "b"]


def test_a_group_without_a_coordinator_hides_no_other():
    kafka = Grouped()
    kafka.away = ("a",)
    lost, *others = GroupGateway(kafka).groups().groups
    assert (lost.name, lost.state, lost.n_members, lost.lag_messages) == ("a", "unknown", None, None)
    assert "coordinator is not available" in lost.problem
    assert [(group.name, group.lag_messages, group.problem) for group in others] == [
        ("b", 3, ""),
        ("c", 3, ""),
    ]
    assert [group.name for group in GroupGateway(kafka).groups(topic="orders").groups] == ["a", "b"]


def test_a_partition_whose_end_nobody_tells_leaves_the_lag_open():
    class Slow(Grouped):
        def _offset(self, place):
            return (
                KafkaException(KafkaError(KafkaError._TIMED_OUT))
                if place.topic == "__mine"
                else super()._offset(place)
            )

    first, _second, third = GroupGateway(Slow()).groups().groups
    assert first.lag_messages == 3
    assert (third.n_members, third.lag_messages) == (2, None)
    assert "__mine, partition 0" in third.problem


def test_groups_that_no_broker_lists_are_told_as_trouble():
    kafka = Grouped()
    kafka.listing = (KafkaError(KafkaError._TIMED_OUT),)
    with pytest.raises(Unavailable):
        GroupGateway(kafka).groups()


def test_page_and_rest_say_that_a_broker_lists_no_groups(db, monkeypatch):
    kafka = Grouped()
    kafka.unlisted = (KafkaException(KafkaError(KafkaError._TIMED_OUT, "broker 2 is late")),)
    monkeypatch.setattr(groups, "connect", lambda: GroupGateway(kafka))
    browser = signed_in(make_user("ines", "viewer"))
    answer = browser.get("/api/v1/consumer-groups").json()
    assert [group["name"] for group in answer["results"]] == ["a", "b", "c"]
    assert "broker 2 is late" in answer["problem"]
    page = browser.get(reverse("streams:group-list")).content.decode()
    assert "broker 2 is late" in page
    kafka.unlisted = ()
    assert browser.get("/api/v1/consumer-groups").json()["problem"] == ""


def test_page_and_rest_show_the_group_that_is_in_trouble(db, monkeypatch):
    kafka = Grouped()
    kafka.away = ("a",)
    monkeypatch.setattr(groups, "connect", lambda: GroupGateway(kafka))
    browser = signed_in(make_user("ines", "engineer"))
    found = browser.get("/api/v1/consumer-groups").json()["results"]
    assert [(group["name"], group["lag_messages"]) for group in found] == [("a", None), ("b", 3), ("c", 3)]
    assert "coordinator is not available" in found[0]["problem"]
    page = browser.get(reverse("streams:group-list")).content.decode()
    assert "coordinator is not available" in page
    assert page.count('scope="row"') == 3


@pytest.mark.django_db
class TestMessagesOfAPage:
    """The box with a topic's messages."""

    @pytest.fixture
    def box(self, monkeypatch):
        browser = signed_in(make_user("eng", "engineer", time_zone="Europe/Madrid"))

        def draw(*read, query=""):
            kafka = SimpleNamespace(messages=lambda *_place, **_limit: Messages(list(read)))
            monkeypatch.setattr(gateway, "connect", lambda: kafka)
            return flat(browser.get(f"/topics/orders/messages{query}").content.decode())

        return draw

    def test_each_says_when_it_was_sent_in_the_readers_zone(self, box):
        page = box(Read(0, 5, 1_782_900_005_000, None, b"1", []))  # 2026-07-01T10:00:05Z
        assert "0:5" in page
        assert "1 Jul 2026, 12:00:05 CEST" in page

    @pytest.mark.parametrize("at_ms", [None, 10**17, -(10**17)])
    def test_one_without_a_time_that_can_be_has_a_dash(self, box, at_ms):
        assert "0:5</span>· –</div>" in box(Read(0, 5, at_ms, None, b"1", []))

    def test_a_header_without_a_value_is_not_one_with_an_empty_value(self, box):
        page = box(Read(0, 5, None, None, b"1", [("none", None), ("empty", b"")]))
        assert '· none<span class="muted">null</span>' in page
        assert '· empty<span class="wrap-anywhere"></span>' in page

    def test_bytes_that_are_no_text_are_called_base64(self, box):
        page = box(Read(0, 5, None, b"\xff\xff", b"1", [("h", b"\xff"), ("text", b"//8=")]))
        assert "//8=</span>(base64)" in page
        assert "/w==</span>(base64)" in page
        assert page.count("base64") == 2

    def test_names_of_headers_that_are_no_text_are_told(self, box):
        assert "(names that are no UTF-8)" in box(Read(0, 5, None, None, b"1", [], has_odd_names=True))

    def test_what_is_cut_says_so_and_there_is_a_way_to_the_rest(self, box):
        long = Read(0, 5, None, b"k" * 90, b"x" * 5000 + b"!", [("trace", b"t" * 130)])
        page = box(long)
        assert "x" * 2000 + "</pre>" in page
        assert "The first 2 000 characters of 4.9 KiB" in page
        assert "k" * 80 + "</span>… (90 B)" in page
        assert "t" * 120 + "</span>… (130 B)" in page
        assert "/topics/orders/messages?from=0:5&amp;limit=1" in page
        alone = box(long, query="?from=0:5&limit=1")
        assert "x" * 5000 + "!</pre>" in alone
        assert "The first" not in alone
