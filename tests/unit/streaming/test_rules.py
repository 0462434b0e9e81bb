"""The loop of an anomaly rule, with a broker in memory: judged, passed over, found; killed on the way."""

import json
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from core.alerts import actions as alerts
from core.alerts.models import Alert
from core.alerts.states import State
from core.lib.models import SetAside
from streaming import actions, anomalies, rules, tasks
from streaming.aggregator import Session
from streaming.champion import Answers, Waits
from streaming.ledger import Overtaken
from streaming.models import Anomaly, RuleState, Stream, Unjudged
from streaming.rules import RuleRunner, RuleSession
from tests.fakes.kafka import Record
from tests.people import make_user
from tests.unit.streaming.conftest import deaths
from tests.unit.streaming.events import encoded, make_stream

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_steps")]

THRESHOLD = {"kind": "threshold", "field": "fare_amount", "limit": 50.0}
ROBUST = {"kind": "robust_z", "field": "fare_amount", "n": 30}
MODEL = {"kind": "model", "field": "tip_amount", "model": "taxi_tip", "sigma": 1.0}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(rules, "IDLE_S", 0.0)
    monkeypatch.setattr(rules, "BATCH", 3)


class FakeChampion:
    """Predicts 2; is away while `away` says why."""

    def __init__(self):
        self.away, self.asked, self.n_closed = "", [], 0

    def rows(self, events, offered):
        return [None if event["vendor_id"] == "odd" else {"tip": event["tip_amount"]} for event in events]

    def ask(self, rows, *, place):
        if self.away:
            raise Waits(self.away)
        self.asked.append(len(rows))
        return Answers([2.0] * len(rows), [f"p{n}" for n in range(len(rows))])

    def usual_error(self):
        return 1.0

    def close(self):
        self.n_closed += 1


@pytest.fixture
def model(monkeypatch):
    fake = FakeChampion()
    monkeypatch.setattr(rules.champion, "connect", lambda name: fake)
    return fake


def make(broker, rule, name="trips", *values, n_partitions=1):
    stream = make_stream(name, definition={"anomaly_rule": rule})
    broker.add(stream.topic, n_partitions=n_partitions)
    broker.put(stream.topic, *values)
    return stream


def count(broker, stream):
    stopped = threading.Event()
    broker.on_idle = stopped.set
    Session(Stream.objects.get(pk=stream.pk), stopped).run()
    broker.on_idle = lambda: None


def judge(stream, n_steps=60):
    """Sessions as the thread runs them, until nothing is left to do."""
    session = RuleSession(Stream.objects.get(pk=stream.pk), threading.Event())
    try:
        session._begin()
        for _ in range(n_steps):
            session.step()
        session._look()
    finally:
        session._consumer.close()
        if session._sender is not None:
            session._sender.close()


def state_of(stream):
    return RuleState.objects.get(stream=stream)


def begin(stream):
    """The rule is there before anything is counted."""
    stream.refresh_from_db()
    return RuleState.objects.create(stream=stream, topic_id=stream.topic_id)


def fares(*values, **more):
    now = time.time()
    return [encoded(now, fare_amount=value, **more) for value in values]


def followed(broker, rule, *values, name="trips"):
    """A stream whose rule follows from its first event."""
    stream = make(broker, rule, name, *values)
    count(broker, stream)
    begin(stream)
    judge(stream)
    return stream


def offsets(stream):
    return sorted(stream.anomalies.values_list("partition", "offset"))


def test_an_event_above_the_limit_is_a_row_a_message_and_an_alert(broker):
    stream = followed(broker, THRESHOLD, *fares(10, 60, 50))
    row = stream.anomalies.get()
    assert (row.offset, row.observed, row.expected, row.limit, row.group) == (1, 60.0, None, 50.0, "2")
    assert (row.is_sent, row.payload) == (True, None)
    [sent] = broker.read("trips.anomalies")
    plain = json.loads(sent.value)
    assert plain["event"]["fare_amount"] == 60
    place = {"topic": "trips", "partition": 0, "offset": 1}
    assert {name: plain[name] for name in place} == place
    assert (plain["observed"], plain["expected"], plain["limit"], plain["rule"]) == (60, None, 50, THRESHOLD)
    assert plain["at"]
    alert = Alert.objects.get()
    assert (alert.rule, alert.subject, alert.state) == (anomalies.ALERT, "trips", State.OPEN)
    assert {"name": "fare_amount", "value": 60.0, "unit": "USD", "threshold": 50.0} in alert.facts
    state = state_of(stream)
    assert (state.n_judged, state.n_hits, state.unjudged) == (3, 1, {})


def test_a_new_rule_begins_with_what_is_counted_next(broker):
    stream = make(broker, THRESHOLD, "trips", *fares(60))
    count(broker, stream)
    judge(stream)
    assert offsets(stream) == []
    broker.put(stream.topic, *fares(70))
    count(broker, stream)
    judge(stream)
    assert offsets(stream) == [(0, 1)]


def test_what_is_not_counted_yet_waits(broker):
    stream = followed(broker, THRESHOLD, *fares(10))
    broker.put(stream.topic, *fares(60))
    judge(stream)
    assert offsets(stream) == []
    count(broker, stream)
    judge(stream)
    assert offsets(stream) == [(0, 1)]


def test_dead_letters_are_not_judged(broker):
    late = encoded(time.time() - 3600, fare_amount=99)
    odd = [b"bad", b"", None, b'{"fare_amount": 1e999}', b"[" * 5_000, b"x" * 300_000, late]
    stream = followed(broker, THRESHOLD, *fares(10), *odd, *fares(60))
    assert offsets(stream) == [(0, 8)]
    assert (stream.dead_letters.count(), state_of(stream).n_judged) == (7, 2)


def lines(*values):
    """One message with an event a line."""
    return b"\n".join(values)


def places(stream):
    return [anomaly.place for anomaly in stream.anomalies.order_by("pk")]


def test_each_line_of_a_message_is_an_event_of_its_own(broker):
    stream = followed(broker, THRESHOLD, *fares(10), lines(*fares(60, 10, 70)), *fares(80))
    assert places(stream) == ["0:1:1", "0:1:3", "0:2"]
    state = state_of(stream)
    assert (state.n_judged, state.n_hits, state.positions) == (5, 3, {"0": 3})
    assert state.n_judged == sum(stream.windows.values_list("count", flat=True))
    sent = [json.loads(one.value) for one in broker.read("trips.anomalies")]
    assert [(one["offset"], one["line"], one["event"]["fare_amount"]) for one in sent] == [
        (1, 1, 60),
        (1, 3, 70),
        (2, 0, 80),
    ]
    assert [one.key for one in broker.read("trips.anomalies")] == [b"0:1:1", b"0:1:3", b"0:2"]


def test_lines_that_are_dead_letters_are_not_judged_and_the_others_are(broker):
    late = encoded(time.time() - 3600, fare_amount=99)
    stream = followed(broker, THRESHOLD, lines(*fares(60), b"{1}", late, *fares(70)), lines(b"{1}", b"{2}"))
    assert places(stream) == ["0:0:1", "0:0:4"]
    assert list(stream.dead_letters.order_by("offset").values_list("lines", flat=True)) == [[2, 3], [1, 2]]


def test_a_letter_that_does_not_tell_its_lines_is_of_the_whole_message(broker):
    stream = make(broker, THRESHOLD, "trips", lines(*fares(60), b"{1}"))
    count(broker, stream)
    stream.dead_letters.update(lines=None)  # as earlier releases wrote it
    begin(stream)
    judge(stream)
    assert places(stream) == []


def test_one_line_that_cannot_be_judged_stops_no_other(broker, monkeypatch):
    whole = RuleSession._group

    def fails_on_one(session, event):
        if event.f9 == 61:
            raise ZeroDivisionError
        return whole(session, event)

    monkeypatch.setattr(RuleSession, "_group", fails_on_one)
    stream = followed(broker, THRESHOLD, lines(*fares(60, 61, 62, 10)))
    assert places(stream) == ["0:0:1", "0:0:3"]
    assert (state_of(stream).n_judged, state_of(stream).unjudged) == (3, {Unjudged.FAILED: 1})


def test_one_hit_that_the_database_refuses_stops_no_other(broker, monkeypatch):
    monkeypatch.setattr(RuleSession, "_group", lambda _session, event: "\x00" if event.f9 == 61 else "")
    stream = followed(broker, THRESHOLD, lines(*fares(60, 61, 62)), *fares(63))
    assert places(stream) == ["0:0:1", "0:0:3", "0:1"]
    assert (state_of(stream).n_hits, state_of(stream).unjudged) == (3, {Unjudged.FAILED: 1})
    assert SetAside.objects.get().key == "trips 0:0:2"


def test_lines_are_events_for_a_model_and_for_the_window_of_robust_z(broker, model, monkeypatch):
    monkeypatch.setattr(rules.champion, "MOST_ROWS", 4)
    stream = followed(broker, MODEL, lines(*tips(9, 1, 9, 1, 1, 9)), *tips(9))
    assert places(stream) == ["0:0:1", "0:0:3", "0:0:6", "0:1"]
    assert model.asked == [4, 2, 1]
    other = followed(broker, ROBUST, lines(*fares(*range(20, 60))), name="rides")
    assert state_of(other).unjudged == {Unjudged.TOO_FEW: 30}
    assert np.frombuffer(state_of(other).values).tolist() == list(range(30, 60))


def test_duplicates_are_events_of_their_own_and_markers_none(broker):
    stream = make(broker, THRESHOLD)
    broker.put(stream.topic, *fares(60) * 2)
    broker.topics[stream.topic][0].records.append(Record(state="marker"))
    count(broker, stream)
    begin(stream)
    judge(stream)
    judge(stream)
    assert offsets(stream) == [(0, 0), (0, 1)]
    assert state_of(stream).positions == {"0": 3}


def test_null_and_nan_are_passed_over_and_counted(broker):
    rule = {"kind": "threshold", "field": "passenger_count", "limit": 4}
    nan = encoded(time.time()).replace(b'"passenger_count": 1', b'"passenger_count": NaN')
    assert b"NaN" in nan
    now = time.time()
    values = [encoded(now, passenger_count=None), nan, encoded(now, passenger_count=6)]
    stream = followed(broker, rule, *values)
    assert offsets(stream) == [(0, 2)]
    assert (state_of(stream).unjudged, state_of(stream).n_judged) == ({Unjudged.NO_VALUE: 2}, 1)


def test_a_message_with_nan_reaches_the_topic_as_json(broker):
    bad = encoded(time.time(), fare_amount=60).replace(
        b'"trip_distance": 2.0', b'"trip_distance": 2.0, "x": NaN'
    )
    stream = followed(broker, THRESHOLD, bad)
    assert offsets(stream) == [(0, 0)]
    [sent] = broker.read("trips.anomalies")
    assert json.loads(sent.value, parse_constant=pytest.fail)["event"]["x"] is None


def test_robust_z_remembers_its_window_over_restarts(broker):
    rng = np.random.default_rng(5)
    usual = np.round(rng.normal(20, 2, 40), 2).tolist()
    stream = followed(broker, ROBUST, *fares(*usual))
    assert state_of(stream).unjudged == {Unjudged.TOO_FEW: 30}
    broker.put(stream.topic, *fares(21.0, 200.0))
    count(broker, stream)
    judge(stream)
    assert offsets(stream)[-1] == (0, 41)
    window = np.array([*usual, 21.0])[-30:]
    mad = np.median(np.abs(window - np.median(window)))
    hit = stream.anomalies.order_by("-pk").first()
    assert hit.limit == pytest.approx(np.median(window) + 2.8 * 1.4826 * mad)
    assert hit.expected == pytest.approx(np.median(window))


def test_values_that_do_not_vary_are_passed_over(broker):
    stream = followed(broker, ROBUST, *fares(*[0.0] * 31))
    assert state_of(stream).unjudged == {Unjudged.TOO_FEW: 30, Unjudged.NO_SPREAD: 1}


def tips(*values, **more):
    now = time.time()
    return [encoded(now, tip_amount=value, **more) for value in values]


def test_a_model_is_asked_in_batches_and_its_prediction_is_named(broker, model):
    stream = followed(broker, MODEL, *tips(4.8, 4.81, 1, 9, 0), *tips(9, vendor_id="odd"))
    assert offsets(stream) == [(0, 1), (0, 3)]
    assert model.asked == [5]
    hit = stream.anomalies.get(offset=3)
    assert (hit.expected, hit.prediction_id) == (2.0, "p3")
    assert hit.limit == pytest.approx(2 + 2.8)
    assert state_of(stream).unjudged == {Unjudged.UNFIT: 1}


def test_an_event_that_the_model_has_no_number_for_stops_no_other(broker, model, monkeypatch):
    def ask(rows, *, place):
        return Answers([float("nan") if row["tip"] == 7 else 2.0 for row in rows], [place for _row in rows])

    monkeypatch.setattr(model, "ask", ask)
    stream = followed(broker, MODEL, *tips(9, 7, 1))
    state = state_of(stream)
    assert offsets(stream) == [(0, 0)]
    assert (state.n_judged, state.unjudged, state.positions) == (2, {Unjudged.UNFIT: 1}, {"0": 3})


def test_a_model_that_is_away_delays_the_rule_alone(broker, model):
    model.away = "The predict API does not answer."
    stream = followed(broker, MODEL, *tips(9, 1))
    state = state_of(stream)
    assert (state.n_judged, state.waits_for) == (0, "The predict API does not answer.")
    assert state.waits_since is not None
    broker.put(stream.topic, *tips(9))
    count(broker, stream)
    assert sum(stream.windows.values_list("count", flat=True)) == 3
    model.away = ""
    judge(stream)
    state.refresh_from_db()
    assert (state.n_judged, state.waits_for, state.waits_since) == (3, "", None)
    assert offsets(stream) == [(0, 0), (0, 2)]


def test_the_backlog_of_a_model_is_bounded_and_what_is_given_up_is_counted(broker, model, monkeypatch):
    monkeypatch.setattr(rules, "MOST_BEHIND", 5)
    monkeypatch.setattr(rules.champion, "MOST_ROWS", 2)
    model.away = "away"
    stream = followed(broker, MODEL, *tips(*[9] * 12), b"bad")
    state = state_of(stream)
    assert (state.unjudged, state.positions, state.waits_for) == ({Unjudged.BEHIND: 8}, {"0": 8}, "away")
    model.away = ""
    judge(stream)
    state.refresh_from_db()
    assert (state.n_judged, state.n_hits, state.n_unjudged) == (4, 4, 8)


def test_what_the_topic_no_longer_holds_is_no_backlog(broker, model, monkeypatch):
    monkeypatch.setattr(rules, "MOST_BEHIND", 5)
    stream = make(broker, MODEL)
    broker.topics[stream.topic][0].low = 1_000
    broker.put(stream.topic, *tips(9, 1))
    count(broker, stream)
    begin(stream)
    judge(stream)
    assert offsets(stream) == [(0, 1_000)]
    assert state_of(stream).unjudged == {}


def test_what_was_gone_before_it_was_judged_is_counted(broker):
    stream = followed(broker, THRESHOLD, *fares(10))
    broker.put(stream.topic, *fares(10, 60, 60, 60))
    count(broker, stream)
    log = broker.topics[stream.topic][0]
    log.records[:4], log.low = [], 4
    judge(stream)
    state = state_of(stream)
    assert state.unjudged == {"gone": 3}
    assert offsets(stream) == [(0, 4)]


def test_a_threshold_gives_nothing_up(broker, monkeypatch):
    monkeypatch.setattr(rules, "MOST_BEHIND", 5)
    stream = followed(broker, THRESHOLD, *fares(*[60] * 12))
    assert state_of(stream).n_hits == 12


def test_one_event_that_cannot_be_judged_stops_no_other(broker, monkeypatch):
    whole = RuleSession._group

    def fails_on_one(session, event):
        if event.f9 == 61:
            raise ZeroDivisionError
        return whole(session, event)

    monkeypatch.setattr(RuleSession, "_group", fails_on_one)
    stream = followed(broker, THRESHOLD, *fares(60, 61, 62, 10))
    assert offsets(stream) == [(0, 0), (0, 2)]
    assert (state_of(stream).n_judged, state_of(stream).unjudged) == (3, {Unjudged.FAILED: 1})


def test_partitions_are_followed_each_by_itself(broker):
    stream = make(broker, THRESHOLD, "trips", n_partitions=2)
    broker.put(stream.topic, *fares(60, 10))
    broker.put(stream.topic, *fares(10, 70), partition=1)
    count(broker, stream)
    begin(stream)
    judge(stream)
    assert offsets(stream) == [(0, 0), (1, 1)]
    assert state_of(stream).positions == {"0": 2, "1": 2}


def test_a_topic_made_anew_is_judged_from_its_start(broker):
    stream = followed(broker, THRESHOLD, *fares(60))
    broker.add(stream.topic)
    broker.put(stream.topic, *fares(70))
    with pytest.raises(Overtaken):
        count(broker, stream)
    count(broker, stream)
    judge(stream)
    assert sorted(stream.anomalies.values_list("observed", flat=True)) == [60, 70]


def test_one_alert_for_each_episode(broker):
    stream = followed(broker, THRESHOLD, *fares(60, 70))
    broker.put(stream.topic, *fares(80))
    count(broker, stream)
    judge(stream)
    alert = Alert.objects.get()
    assert {"name": "Anomalies in this episode", "value": 3} in alert.facts
    RuleState.objects.update(last_hit_at=timezone.now() - anomalies.QUIET - timedelta(seconds=1))
    judge(stream)
    alert.refresh_from_db()
    assert alert.state == State.RESOLVED
    broker.put(stream.topic, *fares(90))
    count(broker, stream)
    judge(stream)
    assert list(Alert.objects.order_by("pk").values_list("state", flat=True)) == [State.RESOLVED, State.OPEN]
    assert {"name": "Anomalies in this episode", "value": 1} in Alert.objects.order_by("-pk")[0].facts


def test_an_alert_that_a_person_resolved_stays_so_while_its_episode_goes_on(broker):
    stream = followed(broker, THRESHOLD, *fares(60))
    alert = Alert.objects.get()
    alerts.resolve(alert.pk, by=make_user("eng", "engineer"), reason="Seen.")
    broker.put(stream.topic, *fares(70))
    count(broker, stream)
    judge(stream)
    alert.refresh_from_db()
    assert (Alert.objects.count(), alert.state, alert.n_findings) == (1, State.RESOLVED, 2)
    RuleState.objects.update(last_hit_at=timezone.now() - anomalies.QUIET - timedelta(seconds=1))
    judge(stream)
    broker.put(stream.topic, *fares(80))
    count(broker, stream)
    judge(stream)
    assert Alert.objects.filter(state=State.OPEN).count() == 1, "another episode"


def test_another_rule_settles_the_alert_and_begins_anew(broker):
    stream = followed(broker, THRESHOLD, *fares(60))
    wider = {**stream.definition, "anomaly_rule": {**THRESHOLD, "limit": 65.0}}
    engineer = make_user("eng", "engineer")
    actions.change_stream("trips", by=engineer, definition=wider)
    assert not RuleState.objects.exists()
    assert Alert.objects.get().state == State.RESOLVED
    assert stream.anomalies.count() == 1
    broker.put(stream.topic, *fares(62, 66))
    judge(stream)
    count(broker, stream)
    judge(stream)
    assert offsets(stream) == [(0, 0), (0, 2)]
    actions.change_stream("trips", by=engineer, definition={**wider, "lateness_s": 5})
    assert RuleState.objects.get().n_judged == 2, "what is not the rule leaves it as it is"


def test_a_session_ends_when_the_rule_changes_under_it(broker):
    stream = followed(broker, THRESHOLD, *fares(10))
    session = RuleSession(Stream.objects.get(pk=stream.pk), threading.Event())
    session._begin()
    broker.put(stream.topic, *fares(60))
    count(broker, stream)
    RuleState.objects.all().delete()
    with pytest.raises(Overtaken):
        session.step()
    assert offsets(stream) == []


def test_two_processes_find_an_event_once(broker):
    stream = followed(broker, THRESHOLD, *fares(10))
    sessions = [RuleSession(Stream.objects.get(pk=stream.pk), threading.Event()) for _ in range(2)]
    for session in sessions:
        session._begin()
    broker.put(stream.topic, *fares(60))
    count(broker, stream)
    assert sessions[0].step()
    with pytest.raises(Overtaken):
        sessions[1].step()
    assert offsets(stream) == [(0, 1)]
    assert len(broker.read("trips.anomalies")) == 1


def test_rows_are_kept_in_bounds(broker, monkeypatch):
    monkeypatch.setattr(anomalies, "MOST_KEPT", 4)
    stream = followed(broker, THRESHOLD, *fares(*range(60, 72)))
    assert [offset for _partition, offset in offsets(stream)] == [8, 9, 10, 11]
    Anomaly.objects.filter(offset=8).update(at=timezone.now() - timedelta(days=31))
    tasks.clear_old()
    assert stream.anomalies.count() == 3


def test_where_kafka_cannot_make_the_topic_it_gets_a_dash(broker):
    broker.add("trips_anomalies")
    stream = followed(broker, THRESHOLD, *fares(60))
    assert len(broker.read("trips-anomalies")) == 1
    assert state_of(stream).other_topic == "trips-anomalies"


def test_what_the_topic_does_not_take_is_said_in_its_row(broker):
    broker.add("trips.anomalies", max_bytes=100)
    stream = followed(broker, THRESHOLD, *fares(60))
    assert "does not take" in stream.anomalies.get().send_error


def test_the_runner_ends_with_the_rule_and_judges_before(broker):
    stream = make(broker, THRESHOLD, "trips", *fares(60))
    count(broker, stream)
    begin(stream)
    runner = RuleRunner(stream.pk, stream.name)
    judged = RuleSession._look

    def stop_after(session):
        judged(session)
        runner.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "LOOK_EVERY_S", 0.05)
        patch.setattr(RuleSession, "_look", stop_after)
        assert runner._is_there()
    assert offsets(stream) == [(0, 0)]
    Stream.objects.filter(pk=stream.pk).update(definition={**stream.definition, "anomaly_rule": None})
    assert not RuleRunner(stream.pk, stream.name)._is_there()


@pytest.mark.django_db(transaction=True)  # what dies within a transaction has to leave it
def test_killed_at_every_step_each_event_is_judged_and_found_once(broker):
    for number, die_at in enumerate(deaths(broker)):
        stream = make(broker, THRESHOLD, f"trips{number}", *fares(60), lines(*fares(10, 70, 80)), *fares(5))
        count(broker, stream)
        begin(stream)
        die_at(lambda stream=stream: judge(stream, n_steps=6))
        died_at = broker.steps[-1]
        judge(stream)
        assert places(stream) == ["0:0", "0:1:2", "0:1:3"], died_at
        sent = [one.key.decode() for one in broker.read(f"{stream.topic}.anomalies")]
        assert sorted(sent) == ["0:0", "0:1:2", "0:1:3"], died_at
        assert not stream.anomalies.filter(is_sent=False).exists(), died_at
        state = RuleState.objects.get(stream=stream)
        assert (state.n_judged, state.n_hits, state.positions) == (5, 3, {"0": 3}), died_at
        assert Alert.objects.get(subject=stream.name).state == State.OPEN, died_at


@pytest.mark.django_db(transaction=True)  # two connections
def test_a_stream_may_be_deleted_while_its_hits_are_saved(broker, monkeypatch):
    stream = followed(broker, THRESHOLD, *fares(10))
    state, saving, save, faults = state_of(stream), threading.Event(), Anomaly.objects.bulk_create, []

    def slowly(*rows, **options):
        saving.set()
        time.sleep(0.3)  # the other one goes as far as it can
        return save(*rows, **options)

    def write():
        hit = Anomaly(stream=stream, topic=stream.topic, topic_id=stream.topic_id, partition=0, offset=9)
        hit.at = hit.event_at = timezone.now()
        hit.rule, hit.observed, hit.limit = THRESHOLD, 60.0, 50.0
        try:
            anomalies.write(state, state_of(stream), [hit])
        except DatabaseError as error:
            faults.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(Anomaly.objects, "bulk_create", slowly)
    writer = threading.Thread(target=write)
    writer.start()
    assert saving.wait(10)
    actions.delete_stream("trips", by=make_user("eng", "engineer"))
    writer.join(10)
    assert faults == []
    assert not Stream.objects.filter(pk=stream.pk).exists()
