"""Pages, REST and actions of streams, from rows; Kafka is away here."""

import copy
import json
import time
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from core.access.reader import ZONE_COOKIE
from core.audit.models import AuditEntry
from core.lib import redis as console_redis
from streaming import defaults, gateway, queries
from streaming.counting import Counting
from streaming.kafka_types import Group, Partition, Topic
from streaming.models import Anomaly, Replay, ReplayState, RuleState, Stream
from tests.people import make_user, signed_in
from tests.unit.streaming.events import make_stream, messages, trip

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_waiting_for_kafka(monkeypatch):
    monkeypatch.setattr(gateway, "TIMEOUT_S", 0.2)


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


@pytest.fixture
def viewer():
    return signed_in(make_user("vic", "viewer"))


@pytest.fixture
def stream():
    stream = make_stream()
    one = Counting(stream)
    one.handle(messages(trip(time.time()), b"<b>bad</b>"))
    one.save()
    return stream


@pytest.mark.parametrize("path", ["", "/windows", "/dead-letters", "/definition"])
def test_pages_of_a_stream_open_while_kafka_is_away(viewer, stream, path):
    assert viewer.get(f"/streams/{stream.name}{path}").status_code == 200


@pytest.mark.parametrize("path", ["/streams", "/topics", "/topics/anything", "/replays"])
def test_lists_open_while_kafka_is_away(viewer, path):
    assert viewer.get(path).status_code == 200


def test_a_dead_letter_shows_its_message_only_to_readers(viewer, engineer, stream):
    path = f"/streams/{stream.name}/dead-letters"
    assert b"&lt;b&gt;bad" in engineer.get(path).content
    assert b"bad&lt;" not in viewer.get(path).content


RULE = {"kind": "threshold", "field": "fare_amount", "limit": 50}


def make_anomaly(stream, **values):
    now = timezone.now()
    numbers = {"observed": 60.0, "limit": 50.0, "rule": RULE}
    place = {"topic": stream.topic, "topic_id": "a", "partition": 0, "offset": 7}
    times = {"event_at": now, "at": now}
    return Anomaly.objects.create(stream=stream, payload=b"secret", **{**place, **numbers, **times, **values})


def test_anomalies_are_listed_with_their_numbers_and_without_the_message(viewer, stream):
    make_anomaly(stream)
    [row] = viewer.get(f"/api/v1/streams/{stream.name}/anomalies").json()["results"]
    assert (row["observed"], row["expected"], row["limit"]) == (60, None, 50)
    assert (row["partition"], row["offset"], row["rule"]) == (0, 7, RULE)
    assert "secret" not in str(row)
    page = viewer.get(f"/streams/{stream.name}/anomalies").content.decode()
    assert "0:7" in page
    assert "secret" not in page


def test_an_anomaly_in_a_message_of_several_events_tells_its_line(viewer, stream):
    make_anomaly(stream, line=3)
    make_anomaly(stream, line=4)
    rows = viewer.get(f"/api/v1/streams/{stream.name}/anomalies").json()["results"]
    assert [row["line"] for row in rows] == [4, 3]
    assert "line 3" in viewer.get(f"/streams/{stream.name}/anomalies").content.decode()


def test_anomalies_are_asked_for_by_time(viewer, stream):
    make_anomaly(stream)
    path = f"/api/v1/streams/{stream.name}/anomalies"
    assert viewer.get(path, {"since": "2100-01-01T00:00:00Z"}).json()["results"] == []
    assert len(viewer.get(path, {"until": "2100-01-01T00:00:00Z"}).json()["results"]) == 1
    assert viewer.get(path, {"since": "soon"}).status_code == 422
    assert viewer.get("/api/v1/streams/none/anomalies").status_code == 404


def test_a_rule_is_defined_by_rest_and_by_the_form_and_its_state_is_told(engineer, stream):
    definition = {**defaults.TAXI_TRIPS, "anomaly_rule": RULE}
    path = f"/api/v1/streams/{stream.name}"
    answer = engineer.patch(path, {"definition": definition}, content_type="application/json")
    assert answer.json()["definition"]["anomaly_rule"] == RULE
    assert answer.json()["rule_state"] is None
    RuleState.objects.create(stream=stream, topic_id="a", n_judged=5, unjudged={"no_value": 2})
    state = engineer.get(path).json()["rule_state"]
    assert (state["n_judged"], state["unjudged"]) == (5, {"no_value": 2})
    page = engineer.get(f"/streams/{stream.name}/anomalies").content.decode()
    assert "fare_amount above 50" in page
    assert "no value in the field" in page
    assert 'id="anomalies"' in engineer.get(f"/streams/{stream.name}").content.decode()
    entry = AuditEntry.objects.filter(action="stream.change").latest("pk")
    assert "threshold" in str(entry.after)
    body = {"description": "", "definition": json.dumps(defaults.TAXI_TRIPS)}
    assert engineer.post(f"/streams/{stream.name}/definition", body).status_code == 302
    assert 'id="anomalies"' not in engineer.get(f"/streams/{stream.name}").content.decode()
    assert not RuleState.objects.exists()


def test_why_a_rule_waits_is_shown(viewer, stream):
    definition = {**stream.definition, "anomaly_rule": RULE}
    Stream.objects.filter(pk=stream.pk).update(definition=definition)
    waits = {"waits_for": "<b>No answer.</b>", "waits_since": timezone.now()}
    RuleState.objects.create(stream=stream, topic_id="a", **waits)
    page = viewer.get(f"/streams/{stream.name}/anomalies").content.decode()
    assert "The rule waits; counting goes on" in page
    assert "&lt;b&gt;No answer." in page


def test_windows_by_rest_have_start_group_count_and_measures(viewer, stream):
    [window] = viewer.get(f"/api/v1/streams/{stream.name}/windows").json()["results"]
    assert window["group"] == "2"
    assert window["count"] == 1
    assert window["measures"] == {"fare_amount": 10.0, "tip_amount": 1.5, "trip_distance": 2.0}


def test_a_stream_is_defined_changed_and_deleted_by_rest(engineer):
    body = {"name": "mine", "topic": "mine", "definition": defaults.TAXI_TRIPS}
    assert engineer.post("/api/v1/streams", body, content_type="application/json").status_code == 201
    assert engineer.post("/api/v1/streams", body, content_type="application/json").status_code == 409
    wider = {**copy.deepcopy(defaults.TAXI_TRIPS), "window_s": 60}
    answer = engineer.patch("/api/v1/streams/mine", {"definition": wider}, content_type="application/json")
    assert answer.json()["revision"] == 2
    assert Stream.objects.get(name="mine").shape == 2
    later = {**wider, "lateness_s": 5}
    engineer.patch("/api/v1/streams/mine", {"definition": later}, content_type="application/json")
    assert Stream.objects.get(name="mine").shape == 2
    assert engineer.delete("/api/v1/streams/mine").status_code == 204
    assert engineer.delete("/api/v1/streams/taxi_trips").status_code == 409


def test_a_bad_definition_is_refused_with_every_fault(engineer):
    definition = {**defaults.TAXI_TRIPS, "window_s": 0, "group_by": "no"}
    body = {"name": "mine", "topic": "mine", "definition": definition}
    answer = engineer.post("/api/v1/streams", body, content_type="application/json")
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 2


def test_the_form_keeps_what_was_typed_when_it_is_refused(engineer):
    body = {"name": "mine", "topic": "mine", "definition": '{"half": '}
    answer = engineer.post("/streams/-/new", body)
    assert answer.status_code == 422
    assert b"This is not JSON" in answer.content
    assert b"&quot;half&quot;" in answer.content


def test_a_definition_changes_by_the_form(engineer, stream):
    definition = {**defaults.TAXI_TRIPS, "lateness_s": 7}
    body = {"description": "é", "definition": json.dumps(definition)}
    assert engineer.post(f"/streams/{stream.name}/definition", body).status_code == 302
    stream.refresh_from_db()
    assert (stream.description, stream.definition["lateness_s"]) == ("é", 7)


def test_messages_need_their_scope_and_a_sound_place(viewer, engineer):
    path = "/api/v1/topics/anything/messages"
    assert viewer.get(path).status_code == 403
    assert engineer.get(path, {"from": "tomorrow"}).status_code == 422
    assert engineer.get(path, {"limit": "0"}).status_code == 422
    assert engineer.get(path, {"limit": "201"}).status_code == 422
    assert engineer.get(path).status_code == 503


def test_where_reading_begins_names_the_readers_zone(engineer):
    engineer.cookies[ZONE_COOKIE] = "Asia/Kathmandu"
    assert "(Asia/Kathmandu)" in engineer.get("/topics/anything").content.decode()


def test_a_redrive_is_asked_for_once(engineer, stream):
    letter = stream.dead_letters.get()
    path = f"/api/v1/streams/{stream.name}/dead-letters/{letter.pk}/redrive"
    assert engineer.post(path).status_code == 202
    assert engineer.post(path).status_code == 409
    assert engineer.post(path.replace(str(letter.pk), "999999")).status_code == 404


def test_a_replay_starts_and_stops(engineer, tmp_path, settings):
    settings.CONSOLE_DATA_DIR = tmp_path
    (tmp_path / "rides.txt").write_text("6,2013-01-01 00:00:00,START,-73.86,40.77,6,-1\n")

    def ask(**body):
        return engineer.post("/api/v1/replays", body, content_type="application/json")

    assert ask(source="rides.txt").status_code == 422
    assert ask(source="rides.txt", rate=1, speed=1).status_code == 422
    assert ask(source="../rides.txt", rate=1).status_code == 422
    assert ask(source="rides.txt", rate=0).status_code == 422
    answer = ask(source="rides.txt", rate=10)
    assert answer.status_code == 202
    assert answer.json()["topic"] == "ride_events"
    assert engineer.post(f"/api/v1/replays/{answer.json()['id']}/stop").status_code == 202
    Replay.objects.update(state=ReplayState.STOPPED)
    assert engineer.post(f"/api/v1/replays/{answer.json()['id']}/stop").status_code == 409


def test_a_key_holds_though_its_first_answer_was_not_kept(engineer, tmp_path, settings, real_redis):
    settings.CONSOLE_DATA_DIR = tmp_path
    (tmp_path / "rides.txt").write_text("6,2013-01-01 00:00:00,START,-73.86,40.77,6,-1\n")

    def ask(**body):
        console_redis.client().flushall()  # as after a death between the row and the answer
        key = {"Idempotency-Key": "k-1"}
        return engineer.post("/api/v1/replays", body, content_type="application/json", headers=key)

    first, again = ask(source="rides.txt", rate=10), ask(source="rides.txt", rate=10)
    assert (again.status_code, again["Idempotent-Replay"]) == (202, "true")
    assert [answer.json()["id"] for answer in (first, again)] == [Replay.objects.get().pk] * 2
    assert ask(source="rides.txt", rate=11).status_code == 422
    assert ask(source="rides.txt", rate=10, topic="other").status_code == 422
    Replay.objects.update(requested_at=timezone.now() - timedelta(hours=25))
    assert ask(source="rides.txt", rate=10).json()["id"] != first.json()["id"]


def test_the_state_holds_what_the_chart_draws(viewer, stream):
    state = viewer.get(f"/streams/{stream.name}/state").json()
    assert state["groups"] == ["2"]
    assert state["values"]["count"] == [[1]]
    assert state["values"]["fare_amount"] == [[10.0]]


@pytest.mark.parametrize("name", ["rides.txt", "rides.csv"])
def test_a_replay_takes_a_file_of_the_output_folder(engineer, tmp_path, settings, name):
    settings.CONSOLE_DATA_DIR, settings.CONSOLE_OUTPUT_DIR = tmp_path / "data", tmp_path / "output"
    path = settings.CONSOLE_OUTPUT_DIR / "job" / name
    path.parent.mkdir(parents=True)
    path.write_text("6,2013-01-01 00:00:00,START,-73.86,40.77,6,-1\n")
    assert str(path) in engineer.get("/replays").content.decode()
    answer = engineer.post("/replays", {"source": str(path), "rate": "5", "times": "auto"})
    assert answer.status_code == 302
    assert Replay.objects.get().source == str(path)


def test_a_cut_letter_is_not_sent_again_and_says_where_the_whole_is(engineer, stream):
    stream.dead_letters.update(is_cut=True)
    letter = stream.dead_letters.get()
    answer = engineer.post(f"/api/v1/streams/{stream.name}/dead-letters/{letter.pk}/redrive")
    assert answer.status_code == 409
    assert f"The whole lies at 0:{letter.offset} of {stream.topic}" in answer.json()["detail"]
    page = engineer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    assert "dead-letter-redrive" not in page
    assert "/redrive" not in page


def test_a_letter_that_lacks_headers_says_so_before_it_is_sent_again(engineer, stream):
    stream.dead_letters.update(n_headers_left_out=2)
    [shown] = engineer.get(f"/api/v1/streams/{stream.name}/dead-letters").json()["results"]
    assert shown["n_headers_left_out"] == 2
    page = engineer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    assert "2 headers are not kept: sent again, the message lacks them." in page


def test_the_page_says_which_letters_their_topic_does_not_have_yet(viewer, stream):
    page = f"/streams/{stream.name}/dead-letters"
    assert (
        "1 is not there yet: until it is, the console keeps its bytes." in viewer.get(page).content.decode()
    )
    stream.dead_letters.update(is_sent=True)
    assert "not there yet" not in viewer.get(page).content.decode()


def test_a_list_of_dead_letters_loads_no_bytes(stream):
    [letter] = queries.dead_letters(stream)
    assert letter.get_deferred_fields() == {"payload", "key", "headers"}


def test_a_letter_that_could_not_be_sent_again_says_why(engineer, stream):
    letter = stream.dead_letters.get()
    letter.redrive_asked_at = letter.at
    letter.mark_refused("Kafka no longer holds the message.")
    page = engineer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    assert "Kafka no longer holds the message." in page
    assert "not sent again" in page
    [shown] = engineer.get(f"/api/v1/streams/{stream.name}/dead-letters").json()["results"]
    assert shown["redrive_error"] == "Kafka no longer holds the message."


def test_a_letter_on_its_way_tells_the_last_error(engineer, stream):
    letter = stream.dead_letters.get()
    letter.redrive_asked_at, letter.delivery_attempts = letter.at, 3
    letter.save()
    letter.mark_retry("Kafka is away.")
    page = " ".join(engineer.get(f"/streams/{stream.name}/dead-letters").content.decode().split())
    assert "on its way" in page
    assert "Kafka is away. 3 tries so far." in page
    [shown] = engineer.get(f"/api/v1/streams/{stream.name}/dead-letters").json()["results"]
    assert (shown["redrive_waits_for"], shown["redrive_attempts"]) == ("Kafka is away.", 3)


def test_a_letter_that_was_refused_may_be_asked_for_again(engineer, stream):
    letter = stream.dead_letters.get()
    letter.redrive_asked_at, letter.delivery_attempts = letter.at, 4
    letter.save()
    letter.mark_refused("Kafka has no such topic.")
    assert "/redrive" in engineer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    path = f"/api/v1/streams/{stream.name}/dead-letters/{letter.pk}/redrive"
    assert engineer.post(path).status_code == 202
    letter.refresh_from_db()
    assert (letter.redrive_error, letter.delivery_attempts) == ("", 0)
    assert letter.next_attempt_at is not None
    assert "/redrive" not in engineer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    assert engineer.post(path).status_code == 409


def test_cells_of_topics_and_groups_have_names_where_the_header_is_hidden():
    page = render_to_string(
        "streaming/_topic_table.html", {"rows": [(Topic("rides", [Partition(0, 0, 5, 1, 1, 1)]), [])]}
    )
    for word in ("Streams", "Partitions", "Offsets in use"):
        assert f'data-label="{word}"' in page
    page = render_to_string("streaming/_group_table.html", {"groups": [Group("g", "stable", 1)]})
    for word in ("State", "Members", "Partitions", "Lag"):
        assert f'data-label="{word}"' in page


@pytest.mark.parametrize("path", ["", "/windows", "/dead-letters", "/definition", "/state"])
def test_a_stream_whose_definition_is_none_any_more_can_be_seen_and_mended(engineer, stream, path):
    Stream.objects.filter(pk=stream.pk).update(definition={"fields": [{"name": "a b"}]})
    answer = engineer.get(f"/streams/{stream.name}{path}")
    assert answer.status_code == 200
    assert path == "/state" or b"no longer valid" in answer.content
    assert engineer.get("/streams").status_code == 200
    body = {"description": "", "definition": json.dumps(defaults.TAXI_TRIPS)}
    assert engineer.post(f"/streams/{stream.name}/definition", body).status_code == 302
    assert Stream.objects.get(pk=stream.pk).shape == 2
