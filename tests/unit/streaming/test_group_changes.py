"""Consumer groups: their page, and offsets moved and deleted by people, on a broker in memory."""

import re
from urllib.parse import quote, urlencode

import pytest
from confluent_kafka import KafkaError

from core.audit.models import AuditEntry
from core.lib.templatetags.states import look_of
from streaming import queries
from streaming.kafka_types import Partition
from streaming.resetting import Goal, Move, plan
from tests.fakes.kafka import Record, fault
from tests.people import make_user, signed_in
from tests.unit.streaming.events import make_stream

pytestmark = pytest.mark.django_db

ODD = ["a/b", "a/offsets", "offsets", "ü b%2F?&#", ".", "..", "x" * 300, "line\nend", "-", "a//b/"]


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


@pytest.fixture
def viewer():
    return signed_in(make_user("vic", "viewer"))


@pytest.fixture(autouse=True)
def _orders(broker):
    broker.add("orders", n_partitions=2)
    broker.put("orders", b"1", b"2", b"3")
    broker.put("orders", b"4", partition=1)
    broker.numbers["g", "orders", 0] = 2


def reset(browser, group="g", **body):
    path = f"/api/v1/consumer-groups/{quote(group, safe='')}/offsets"
    return browser.post(path, {"topic": "orders", **body}, content_type="application/json")


def url(group, tail=""):
    return f"/api/v1/consumer-groups/{quote(group, safe='')}{tail}"


def held(broker, group="g"):
    return {place[1:]: offset for place, offset in broker.numbers.items() if place[0] == group}


def test_a_group_tells_its_members_and_its_lag(broker, viewer):
    broker.join("g", ("orders", 0), client_id="shop")
    found = viewer.get(url("g")).json()
    assert (found["state"], found["n_members"], found["lag_messages"]) == ("stable", 1, 1)
    assert found["members"][0]["assigned"] == [{"topic": "orders", "partition": 0}]
    [offset] = found["offsets"]
    assert (offset["committed"], offset["end"], offset["member"]) == (2, 3, "shop")
    page = viewer.get("/consumer-groups?group=g", headers={"HX-Request": "true"}).content.decode()
    assert "shop" in page
    assert "orders:0" in page


def test_a_group_that_is_not_there_is_not_found(broker, viewer):
    assert viewer.get(url("nobody")).status_code == 404
    assert viewer.get("/consumer-groups").status_code == 404


def test_a_group_without_a_name_hides_no_other(broker, viewer, monkeypatch):
    """Old consumers commit without one; Kafka lists it, and the client asks nothing of it."""
    monkeypatch.setattr(queries, "_remembered", queries.Names(float("-inf"), [], []))
    broker.numbers["", "orders", 0] = 1
    nameless, other = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert (nameless["name"], nameless["n_members"], nameless["lag_messages"]) == ("", None, None)
    assert "without a name" in nameless["problem"]
    assert (other["name"], other["lag_messages"], other["problem"]) == ("g", 1, "")
    page = viewer.get("/topics/-/groups").content.decode()
    assert "(no name)" in page
    assert "without a name" in page
    assert [hit.label for hit in queries.search_groups("", None)] == ["g"]


def test_what_is_gone_does_not_wait(broker, viewer):
    broker.put("orders", *[b"1"] * 10)
    broker.topics["orders"][0].records[:9], broker.topics["orders"][0].low = [], 9
    [group] = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert (group["lag_messages"], group["offsets"][0]["committed"]) == (4, 2)
    words = "It stands at 2 in orders, partition 0, which begins at 9: what lay between is gone."
    assert group["problem"] == words
    assert words in viewer.get("/consumer-groups?group=g&whole").content.decode()


def test_a_group_behind_the_end_of_its_topic_says_so(broker, viewer):
    broker.numbers["g", "orders", 0] = 5_000
    [group] = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert group["lag_messages"] == 0
    assert group["problem"].startswith("It stands at 5000 in orders, partition 0, which ends at 3")


def test_a_stream_does_not_wait_for_what_is_gone(broker):
    make_stream("orders")
    broker.topics["orders"][1].records[:1], broker.topics["orders"][1].low = [Record(b"5")] * 3, 5_000
    assert queries.lags(["orders"]) == {"orders": 6}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError.COORDINATOR_NOT_AVAILABLE, "Its coordinator is not available: it is away"),
        (KafkaError._TIMED_OUT, "Its coordinator is not available: it is away"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "Kafka refused the console: it is away"),
        (KafkaError.UNSUPPORTED_VERSION, "Kafka answered with an error: it is away"),
    ],
)
def test_why_nothing_is_known_of_a_group_is_told_as_it_is(broker, viewer, code, words):
    broker.untold["h"] = KafkaError(code, "it is away")
    g, h = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert (g["problem"], h["problem"], h["state"]) == ("", words, "unknown")


def test_a_group_that_is_deleted_meanwhile_is_left_out(broker, viewer):
    broker.untold["h"] = KafkaError(KafkaError.GROUP_ID_NOT_FOUND)
    broker.members["dead"] = []
    assert [group["name"] for group in viewer.get("/api/v1/consumer-groups").json()["results"]] == ["g"]
    assert viewer.get(url("h")).status_code == 404


def test_the_search_goes_on_where_kafka_lets_nobody_in(broker, monkeypatch):
    monkeypatch.setattr(queries, "_remembered", queries.Names(float("-inf"), [], []))
    broker.fail("list_topics", fault(KafkaError.CLUSTER_AUTHORIZATION_FAILED))
    assert queries.search_groups("g", None) == []


def test_a_group_of_the_newer_protocol_is_not_unknown_while_it_shares_out(broker, viewer):
    broker.join("g", ("orders", 0))
    broker.sharing_out = {"g"}
    [group] = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert (group["state"], group["n_members"], group["problem"]) == ("completing_rebalancing", 1, "")


def test_groups_that_are_not_listed_are_named(viewer):
    """Also where somebody is about to delete what they read."""
    assert "are not listed here" in viewer.get("/topics/-/groups?topic=orders").content.decode()


def test_a_group_that_two_brokers_list_is_one(broker, viewer):
    """As while its coordinator moves."""
    broker.listed_twice = {"g"}
    [group] = viewer.get("/api/v1/consumer-groups").json()["results"]
    assert (group["name"], group["lag_messages"], group["problem"]) == ("g", 1, "")


@pytest.mark.parametrize("name", ODD)
def test_a_group_may_have_any_name(broker, engineer, name):
    broker.numbers[name, "orders", 0] = 1
    assert engineer.get(url(name)).json()["name"] == name
    listed = engineer.get("/topics/-/groups").content.decode()
    assert f"?group={quote(name, safe='')}" in listed
    page = engineer.get(f"/consumer-groups?{urlencode({'group': name})}", headers={"HX-Request": "true"})
    assert page.status_code == 200
    assert reset(engineer, name, to="latest").status_code == 200
    assert held(broker, name) == {("orders", 0): 3, ("orders", 1): 1}
    form = {"group": name, "topic": "orders", "kind": "earliest"}
    answer = engineer.post("/consumer-groups/offsets", form)
    assert answer["Location"] == f"/consumer-groups?{urlencode({'group': name})}"
    assert engineer.delete(url(name)).status_code == 204
    assert held(broker, name) == {}


PARTITIONS = [Partition(0, 10, 20, 1, 1, 1), Partition(1, 0, 5, 1, 1, 1)]


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        (Goal("earliest"), [10, 0]),
        (Goal("latest"), [20, 5]),
        (Goal("offset", 12), [12, 5]),
        (Goal("offset", 3), [10, 3]),
        (Goal("shift", 2), [14, None]),
        (Goal("shift", -7), [10, None]),
        (Goal("shift", 100), [20, None]),
        (Goal("time", 1), [15, 5]),
    ],
)
def test_where_a_partition_goes_on(goal, wanted):
    moves = plan(PARTITIONS, {0: 12}, goal, {0: 15, 1: -1})
    assert [move.after for move in moves] == wanted


def test_a_move_says_why_it_is_not_what_was_asked_for():
    first, second = plan(PARTITIONS, {0: 12}, Goal("offset", 7), {})
    assert (first.note, first.lag_messages) == ("The first message there is has offset 10.", 10)
    assert second.note == "The partition ends at 5."
    [late] = plan(PARTITIONS[1:], {}, Goal("time", 9), {1: -1})
    assert "No message is so new" in late.note
    [lost] = plan(PARTITIONS[:1], {0: 12}, Goal("time", 9), {})
    assert lost == Move(0, 12, None, 10, 20, "Kafka does not tell: nobody leads the partition now.")
    assert lost.lag_messages == 8


def test_a_preview_moves_nothing_and_says_what_would_become(broker, engineer):
    answer = reset(engineer, to="earliest", dry_run=True).json()
    assert (answer["is_dry_run"], answer["blocked"]) == (True, "")
    assert [(one["before"], one["after"], one["lag_messages"]) for one in answer["moves"]] == [
        (2, 0, 3), (None, 0, 1),
    ]  # fmt: skip
    assert held(broker) == {("orders", 0): 2}
    assert not AuditEntry.objects.filter(action__startswith="consumer_group.").exists()


def test_offsets_are_moved_and_the_trail_has_both(broker, engineer):
    assert reset(engineer, shift_by=-1).json()["moves"][0]["after"] == 1
    assert held(broker) == {("orders", 0): 1}
    entry = AuditEntry.objects.get(action="consumer_group.reset")
    assert (entry.object_type, entry.object_id) == ("consumer_group", "g")
    assert entry.before == {"topic": "orders", "offsets": {"0": 2}}
    assert entry.after == {"topic": "orders", "offsets": {"0": 1}}


@pytest.mark.parametrize(
    "wish",
    [{"to": "earliest"}, {"to": "latest"}, {"to": 1}, {"shift_by": -1}, {"to": "1970-01-01T00:00:02Z"}],
)
def test_a_partition_that_nobody_leads_stays_where_it_is(broker, engineer, wish):
    broker.numbers["g", "orders", 1] = 1
    broker.topics["orders"][1].is_led = False
    answer = reset(engineer, **wish)
    assert answer.status_code == 200
    lost = answer.json()["moves"][1]
    assert (lost["before"], lost["after"], lost["low"], lost["end"], lost["lag_messages"]) == (
        1, None, None, None, None,
    )  # fmt: skip
    assert "nobody leads the partition" in lost["note"]
    assert held(broker)["orders", 1] == 1
    assert reset(engineer, partitions=[1], **wish).status_code == 422
    assert (
        "nobody leads"
        in engineer.get("/consumer-groups/offsets?group=g&kind=latest&topic=orders").content.decode()
    )


def test_the_preview_and_the_page_tell_offsets_in_full(broker, engineer):
    broker.numbers["g", "orders", 0] = 1_234_567
    asked = {"group": "g", "topic": "orders", "kind": "latest"}
    for page in (
        engineer.get("/consumer-groups/offsets", asked),
        engineer.get("/consumer-groups?group=g", headers={"HX-Request": "true"}),
        engineer.get("/consumer-groups/delete?group=g"),
    ):
        assert "1\u202f234\u202f567" in page.content.decode()
        assert "1.2\u00a0M" not in page.content.decode()


def test_offsets_are_moved_to_a_time(broker, engineer):
    broker.topics["orders"][0].records = [Record(b"1", at_ms=1000), Record(b"2", at_ms=5000)]
    assert reset(engineer, to="1970-01-01T00:00:02Z", partitions=[0]).status_code == 200
    assert held(broker) == {("orders", 0): 1}


@pytest.mark.parametrize("to", [1, "1"])
def test_an_offset_is_a_number_or_its_text(broker, engineer, to):
    assert reset(engineer, to=to, partitions=[0]).status_code == 200
    assert held(broker) == {("orders", 0): 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "to"),
        ({"to": "latest", "shift_by": 1}, "to"),
        ({"to": "soon"}, "to"),
        ({"to": "-1"}, "to"),
        ({"to": True}, "to"),
        ({"to": "9" * 30}, "to"),
        ({"to": "latest", "partitions": []}, "partitions"),
        ({"to": "latest", "partitions": [2]}, "partitions"),
        ({"shift_by": 1, "partitions": [1]}, "topic"),
    ],
)
def test_what_is_no_place_is_refused(broker, engineer, body, field):
    answer = reset(engineer, **body)
    assert answer.status_code == 422
    assert field in {error["field"].partition(".")[0] for error in answer.json()["errors"]}
    assert held(broker) == {("orders", 0): 2}


def test_a_group_with_members_is_only_looked_at(broker, engineer):
    broker.join("g", ("orders", 0))
    assert "Stop its consumers" in reset(engineer, to="latest", dry_run=True).json()["blocked"]
    for answer in (reset(engineer, to="latest"), engineer.delete(url("g"))):
        assert answer.status_code == 409
        assert "Stop its consumers" in answer.json()["detail"]
    assert held(broker) == {("orders", 0): 2}
    page = engineer.get("/consumer-groups/offsets?group=g&topic=orders&kind=latest").content.decode()
    assert "Stop its consumers" in page
    assert "btn-danger-solid" not in page


def test_who_joins_in_the_last_moment_is_told_by_kafka(broker, engineer):
    broker.fail("alter_group_offsets")
    real = broker.step

    def step(name):
        if name == "alter_group_offsets":
            broker.join("g", ("orders", 0))
        real(name)

    broker.step = step
    assert reset(engineer, to="latest").status_code == 409
    found = AuditEntry.objects.filter(action__startswith="consumer_group.").order_by("pk")
    assert [one.action for one in found] == ["consumer_group.reset", "consumer_group.refused"]


@pytest.mark.parametrize("name", ["atalaya-recorder", "atalaya-aggregator", "atalaya-number-dead-1"])
def test_the_consoles_own_groups_are_not_for_people(broker, engineer, name):
    broker.numbers[name, "orders", 0] = 1
    answers = [reset(engineer, name, to="latest"), engineer.delete(url(name))]
    for answer in answers:
        assert answer.status_code == 409
        assert "console's own group" in answer.json()["detail"]
    assert "own group" in reset(engineer, name, to="latest", dry_run=True).json()["blocked"]
    assert held(broker, name) == {("orders", 0): 1}
    assert "Move offsets" not in engineer.get(f"/consumer-groups?group={name}").content.decode()


def test_a_page_previews_and_then_moves(broker, engineer):
    asked = {"group": "g", "topic": "orders", "kind": "shift", "value": "-1", "partitions": "0, 1"}
    page = engineer.get("/consumer-groups/offsets", asked).content.decode()
    assert "no offset here" in page
    assert held(broker) == {("orders", 0): 2}
    assert engineer.post("/consumer-groups/offsets", asked).status_code == 302
    assert held(broker) == {("orders", 0): 1}
    broker.add("other")
    broker.numbers["g", "other", 0] = 0
    page = engineer.get("/consumer-groups/delete?group=g").content.decode()
    assert "orders:0" in page
    assert "other:0" in page
    assert engineer.post("/consumer-groups/delete", {"group": "g"}).status_code == 302
    assert held(broker) == {}


def test_a_second_click_shifts_nothing_more(broker, engineer):
    asked = {"group": "g", "topic": "orders", "kind": "shift", "value": "-1"}
    page = engineer.get("/consumer-groups/offsets", asked).content.decode()
    [seen] = re.findall('name="before" value="([^"]*)"', page)
    assert engineer.post("/consumer-groups/offsets", {**asked, "before": seen}).status_code == 302
    again = engineer.post("/consumer-groups/offsets", {**asked, "before": seen})
    assert again.status_code == 409
    assert "has other offsets now" in again.content.decode()
    assert held(broker) == {("orders", 0): 1}
    assert AuditEntry.objects.filter(action="consumer_group.reset").count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": ""},
        {"kind": "time"},
        {"kind": "offset", "value": "-1"},
        {"partitions": "a"},
        {"partitions": "7"},
        {"topic": "nothing"},
        {"topic": "a b"},
    ],
)
def test_a_page_says_what_is_wrong(broker, engineer, wrong):
    asked = {"group": "g", "topic": "orders", "kind": "shift", "value": "-1", **wrong}
    assert engineer.get("/consumer-groups/offsets", asked).status_code == 422
    assert engineer.post("/consumer-groups/offsets", asked).status_code == 422
    assert held(broker) == {("orders", 0): 2}


def test_a_viewer_looks_and_changes_nothing(broker, viewer):
    assert viewer.get(url("g")).status_code == 200
    assert reset(viewer, to="latest").status_code == 403
    assert viewer.delete(url("g")).status_code == 403
    assert "Move offsets" not in viewer.get("/consumer-groups?group=g").content.decode()
    for path in ("offsets", "delete"):
        assert viewer.get(f"/consumer-groups/{path}?group=g").status_code == 403
    assert viewer.post("/consumer-groups/delete", {"group": "g"}).status_code == 403


def test_kafka_away_is_said_in_words(broker, engineer):
    broker.fail("describe_groups", *[fault(KafkaError._TRANSPORT)] * 2)
    assert engineer.get(url("g")).status_code == 503
    assert reset(engineer, to="latest").status_code == 503


def test_the_state_of_a_group_is_a_badge_in_words(broker, engineer, viewer):
    htmx = {"HX-Request": "true"}
    assert 'data-state="empty"' in viewer.get("/consumer-groups?group=g", headers=htmx).content.decode()
    assert 'data-state="empty"' in viewer.get("/topics/-/groups", headers=htmx).content.decode()
    assert look_of("PREPARING_REBALANCING").word == "about to share out partitions"


def test_one_offset_that_is_moved_is_said_in_the_singular(broker, engineer):
    form = {"group": "g", "topic": "orders", "kind": "earliest", "partitions": "0"}
    seen = re.search(
        r'name="before" value="([^"]*)"', engineer.get("/consumer-groups/offsets", form).content.decode()
    )[1]
    page = engineer.post("/consumer-groups/offsets", {**form, "before": seen}, follow=True).content.decode()
    assert "1 offset of “orders” is moved." in page
