"""Notifications: which are made, how they are delivered, and what becomes of those that are not."""

import json
import re
import smtplib
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from django.core import mail as outgoing
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.alerts import actions, channels, deliveries, gateway, mail, queries, sealing, tasks
from core.alerts.models import Channel, Delivery
from core.alerts.states import DeliveryState
from core.lib import outbox
from core.lib.errors import Conflict, Unavailable
from tests.people import make_admin, make_user
from tests.unit.alerts.conftest import UNWRITABLE, find, in_hours, long_ago, opened
from tests.unit.alerts.receiver import Receiver

pytestmark = pytest.mark.django_db
DOCS = Path(__file__).parents[3] / "docs" / "notifications.md"


@pytest.fixture
def root(db):
    return make_admin()


@pytest.fixture
def receiver(settings):
    settings.CONSOLE_WEBHOOK_NETWORKS = ["127.0.0.1"]
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def hook(root, receiver):
    return channels.create("webhook", name="hook", url=receiver.url, by=root)[0]


@pytest.fixture
def called(monkeypatch):
    """Stands in for the other side: what was posted; `called.answer` is what it says, or raises."""

    class Called(list):
        answer: gateway.Answer | Exception = gateway.Answer(200, "ok")

        def post(self, url, body, headers):
            self.append((url, json.loads(body), headers))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    found = Called()
    monkeypatch.setattr(gateway, "post", found.post)
    return found


def channel(name: str = "hook", **values) -> Channel:
    found = Channel.objects.create(name=name, kind="webhook", url="https://host.example/hook", **values)
    found.sealed_secret = sealing.seal("awh_x", found.pk)
    found.save()
    return found


def events(of: Channel | None = None) -> list[str]:
    rows = Delivery.objects.order_by("created_at", "pk")
    return [row.event for row in (rows.filter(channel=of) if of else rows)]


def deliver_all() -> None:
    """What is due, each by its own message, oldest first."""
    for pk in list(Delivery.due().values_list("pk", flat=True)):
        deliveries.deliver(str(pk))


def later(**by: float) -> None:
    """Every time of every delivery so much earlier."""
    ago = timedelta(**by)
    for row in Delivery.objects.all():
        for name in ("next_attempt_at", "tried_at", "created_at", "give_up_at"):
            if getattr(row, name) is not None:
                setattr(row, name, getattr(row, name) - ago)
        row.save()


# --- which are made


def test_opened_worse_and_resolved_are_told_and_what_is_only_counted_is_not():
    channel()
    alert = opened()
    find()
    find(severity="critical")
    find(severity="info")
    actions.settle("drift", "titanic")
    assert events() == ["opened", "worsened", "resolved"]
    told = Delivery.objects.filter(event="resolved").get().payload["alert"]
    assert (told["id"], told["state"]) == (alert.pk, "resolved")


def test_what_a_person_acknowledges_is_not_told_and_what_they_resolve_is(ana):
    channel()
    alert = opened()
    actions.acknowledge(alert.pk, by=ana)
    actions.resolve(alert.pk, by=ana, reason="Over.")
    assert events() == ["opened", "resolved"]


def test_a_muted_alert_tells_nothing_until_its_mute_is_over(ana):
    channel()
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    find(severity="critical")
    assert events() == ["opened"]
    long_ago(alert, hours=2)
    find()
    assert events() == ["opened", "reopened"]


def test_a_muted_alert_whose_cause_goes_and_comes_tells_nothing(ana):
    channel()
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    for _ in range(2):
        actions.settle("drift", "titanic")
        find(cooldown=timedelta(0))
    assert events() == ["opened", "resolved"]


@pytest.mark.parametrize("way", ["settled", "resolved"])
def test_the_end_of_a_muted_alert_is_told_to_whom_its_beginning_was(ana, way):
    told = channel()
    alert = opened()
    late = channel("late")
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    find(severity="critical")
    if way == "settled":
        actions.settle("drift", "titanic")
    else:
        actions.resolve(alert.pk, by=ana, reason="Over.")
    assert events(told) == ["opened", "resolved"]
    assert events(late) == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, True),
        ({"severity": "critical"}, False),
        ({"severity": "info"}, True),
        ({"rules": ["drift"]}, True),
        ({"rules": ["pipeline-*", "dr?ft"]}, True),
        ({"rules": ["Drift", "drif"]}, False),
        ({"subjects": ["titanic"]}, True),
        ({"subjects": ["tit*", "x"]}, True),
        ({"subjects": ["[", "*x"]}, False),
        ({"rules": ["drift"], "subjects": ["diabetes"]}, False),
        ({"is_active": False}, False),
    ],
)
def test_a_channel_takes_what_it_asks_for(values, wanted):
    channel(**values)
    opened()
    assert Delivery.objects.exists() == wanted


def test_an_alert_that_is_not_committed_tells_nothing():
    channel()
    with transaction.atomic():
        opened()
        transaction.set_rollback(True)
    assert events() == []


# --- delivered


def test_a_delivery_can_be_checked_as_the_docs_say(root, receiver):
    """The very code of the page, against what a server really got."""
    made, secret = channels.create("webhook", name="hook", url=receiver.url, by=root)
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    names: dict = {}
    exec(code[1], names)  # noqa: S102  our own page
    check = names["is_from_atalaya"]
    opened(detail="Größe \N{PILE OF POO}")
    deliver_all()
    (request,) = receiver.requests
    assert check(secret, request.headers, request.body)
    assert not check(secret + "x", request.headers, request.body)
    assert not check(secret, request.headers, request.body + b" ")
    old = {**request.headers, "X-Atalaya-Timestamp": str(int(request.headers["X-Atalaya-Timestamp"]) - 301)}
    assert not check(secret, old, request.body)
    assert not check(secret, {**request.headers, "X-Atalaya-Timestamp": "²"}, request.body)
    assert not check(secret, {**request.headers, "X-Atalaya-Signature": "v1=ü"}, request.body)
    row = Delivery.objects.get()
    assert request.headers["X-Atalaya-Delivery"] == str(row.pk) == json.loads(request.body)["id"]
    assert (row.state, row.status, row.answer, row.delivery_attempts) == ("delivered", 200, "taken", 1)
    assert row.channel == made
    assert row.next_attempt_at is None


def test_both_secrets_sign_for_a_day_after_a_change(root, hook, receiver):
    _hook, new = channels.rotate(hook.pk, by=root)
    opened()
    deliver_all()
    Channel.objects.update(previous_until=timezone.now())
    find(severity="critical")
    deliver_all()
    both, one = (request.headers["X-Atalaya-Signature"].split(",") for request in receiver.requests)
    assert (len(both), len(one)) == (2, 1)
    first = receiver.requests[0]
    timestamp = int(first.headers["X-Atalaya-Timestamp"])
    assert both[0] == f"v1={sealing.signature(new, timestamp, first.body)}"


def test_the_payload_is_what_the_docs_show(called):
    shown = json.loads(re.search(r"```json\n(.*?)```", DOCS.read_text(), re.S)[1])
    channel()
    alert = opened(url="/models/titanic")
    deliver_all()
    ((url, body, headers),) = called
    assert url == "https://host.example/hook"
    assert body.keys() == shown.keys()
    assert body["alert"].keys() == shown["alert"].keys()
    assert body["alert"]["url"] == f"http://127.0.0.1:18000/monitoring/alerts/{alert.pk}"
    assert headers["Content-Type"] == "application/json"


def test_the_message_that_comes_twice_sends_once(called):
    channel()
    opened()
    pk = str(Delivery.objects.get().pk)
    deliveries.deliver(pk)
    deliveries.deliver(pk)
    assert len(called) == 1


@pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500, 503])
def test_another_status_than_2xx_is_tried_again_under_the_same_id(called, status):
    channel()
    called.answer = gateway.Answer(status, "no")
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.status, row.answer) == ("pending", status, "no")
    assert str(status) in row.delivery_error
    later(seconds=11)
    called.answer = gateway.Answer(204, "")
    deliver_all()
    row.refresh_from_db()
    assert (row.state, row.status, row.delivery_error, row.delivery_attempts) == ("delivered", 204, "", 2)
    assert [body["id"] for _url, body, _headers in called] == [str(row.pk)] * 2


def test_tries_come_ever_more_rarely_and_end_after_a_day(called):
    channel()
    called.answer = Unavailable("host.example did not answer.", service="webhook")
    opened()
    waits = []
    for _try in range(200):
        deliver_all()
        row = Delivery.objects.get()
        if row.state != DeliveryState.PENDING:
            break
        wait = (row.next_attempt_at - timezone.now()).total_seconds()
        waits.append(round(wait))
        later(seconds=wait)
    assert waits[:4] == [10, 20, 40, 80]
    assert max(waits) == 1800
    assert 24 * 3600 - 300 < sum(waits) <= 24 * 3600  # less what this test itself took
    assert (row.state, row.delivery_error) == ("failed", "host.example did not answer.")
    assert row.next_attempt_at is None


def test_a_worker_that_dies_leaves_it_due(called, monkeypatch):
    """Dead after the other side took it, before the row said so: the same id comes again."""
    channel()
    opened()
    row = Delivery.objects.get()
    monkeypatch.setattr(deliveries, "_note", lambda *_args, **_more: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        deliveries.deliver(str(row.pk))
    monkeypatch.undo()
    monkeypatch.setattr(gateway, "post", called.post)
    deliver_all()
    assert len(called) == 1  # the lease is not over
    later(seconds=Delivery.lease_s + 1)
    deliver_all()
    row.refresh_from_db()
    assert (row.state, {body["id"] for _url, body, _headers in called}) == ("delivered", {str(row.pk)})
    assert len(called) == 2


def test_the_sweep_sends_what_no_message_reached(real_redis, monkeypatch):
    channel()
    opened()
    sent = []
    monkeypatch.setattr(deliveries.deliver, "apply_async", lambda args, *_rest, **_more: sent.append(args[0]))
    monkeypatch.setattr(outbox, "_registered", [one for one in outbox._registered if one[0] is Delivery])
    outbox.sweep()
    assert sent == [str(Delivery.objects.get().pk)]


def test_a_secret_that_cannot_be_read_says_what_to_do(called, settings):
    channel()
    settings.SECRET_KEY = "another-" + "x" * 60
    opened()
    deliver_all()
    assert "CONSOLE_SECRET_KEY changed" in Delivery.objects.get().delivery_error
    assert called == []


def test_a_new_secret_helps_after_the_key_changed(called, root, settings):
    """The old one, which nobody can read any more, does not sign beside it."""
    found = channel()
    settings.SECRET_KEY = "another-" + "x" * 60
    channels.rotate(found.pk, by=root)
    opened()
    deliver_all()
    assert Delivery.objects.get().state == "delivered"
    ((_url, _body, headers),) = called
    assert headers["X-Atalaya-Signature"].count("v1=") == 1


def test_an_address_that_has_become_private_is_not_called(hook, settings, receiver):
    settings.CONSOLE_WEBHOOK_NETWORKS = []
    opened()
    deliver_all()
    assert "no public address" in Delivery.objects.get().delivery_error
    assert receiver.requests == []


def test_what_waits_for_a_channel_that_is_off_is_cancelled(called, root):
    found = channel()
    opened()
    channels.change(found.pk, is_active=False, by=root)
    deliver_all()
    assert Delivery.objects.get().state == "cancelled"
    assert called == []


def test_what_waits_for_a_channel_that_is_gone_goes_with_it(called, root):
    found = channel()
    opened()
    pk = str(Delivery.objects.get().pk)
    channels.remove(found.pk, by=root)
    deliveries.deliver(pk)
    assert called == []


# --- a storm


def test_more_than_fits_into_a_minute_is_gathered_in_one(called):
    channel(most_per_minute=3)
    for number in range(60):
        opened(f"model {number:02}")
    deliver_all()
    assert [body["alert"]["subject"] for _url, body, _headers in called] == [
        "model 00",
        "model 01",
        "model 02",
    ]
    assert Delivery.objects.filter(is_held=True, delivery_attempts=0).count() == 57
    deliver_all()
    assert len(called) == 3
    later(seconds=61)
    deliver_all()
    assert len(called) == 4
    told = called[-1][1]
    assert (told["event"], told["n"], len(told["notifications"])) == ("gathered", 57, 50)
    assert [one["alert"]["subject"] for one in told["notifications"][:2]] == ["model 03", "model 04"]
    assert dict.fromkeys(Delivery.objects.values_list("state", flat=True)).keys() == {"delivered", "gathered"}
    gathered = Delivery.objects.get(event="gathered")
    assert gathered.gathered.count() == 57
    assert not Delivery.due().exists()


def test_a_storm_in_one_channel_holds_no_other_up(called):
    channel("narrow", most_per_minute=1)
    channel("wide", most_per_minute=100)
    for number in range(5):
        opened(f"model {number}")
    deliver_all()
    assert len(called) == 6


def test_a_gathered_one_that_fails_is_told_with_later_ones(called):
    channel(most_per_minute=1)
    called.answer = gateway.Answer(500, "")
    for number in range(4):
        opened(f"model {number}")
    deliver_all()  # one is tried, three are held
    later(seconds=61)
    deliver_all()  # two of: the first again, one that gathers; the other waits
    later(seconds=61)
    called.answer = gateway.Answer(200, "")
    for _minute in range(4):
        deliver_all()
        later(seconds=61)
    told = set()
    for _url, body, _headers in called:
        alerts = [body["alert"]] if "alert" in body else [one["alert"] for one in body["notifications"]]
        told |= {alert["subject"] for alert in alerts}
    assert told == {f"model {number}" for number in range(4)}
    assert not Delivery.objects.filter(state="pending").exists()


def test_while_nobody_answers_one_is_tried_at_a_time(called):
    """Each would keep the worker for as long as it waits."""
    channel(most_per_minute=100)
    called.answer = Unavailable("host.example did not answer.", service="webhook")
    for number in range(5):
        opened(f"model {number}")
    deliver_all()
    assert len(called) == 1
    later(seconds=11)
    deliver_all()
    assert (len(called), called[-1][1]["n"]) == (2, 5)
    called.answer = gateway.Answer(200, "")
    later(seconds=21)
    deliver_all()
    assert len(called) == 3
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered", "gathered"}


def test_one_that_is_refused_holds_no_other_up(called):
    channel()
    called.answer = gateway.Answer(400, "")
    opened("odd")
    deliver_all()
    called.answer = gateway.Answer(200, "")
    opened("good")
    deliver_all()
    assert Delivery.objects.get(alert__subject="good").state == "delivered"


def test_a_test_waits_for_no_storm(called, root):
    found = channel(most_per_minute=1)
    for number in range(3):
        opened(f"model {number}")
    deliver_all()
    channels.test(found.pk, by=root)
    deliver_all()
    assert [body["event"] for _url, body, _headers in called] == ["opened", "test"]


@pytest.mark.django_db(transaction=True)
def test_two_that_nobody_answered_do_not_hold_each_other(called, monkeypatch):
    """Two workers take them at the same moment: one of them tries what both have to tell."""
    channel(most_per_minute=100)
    for number in range(2):
        opened(f"model {number}")
    Delivery.objects.update(
        tried_at=timezone.now(), delivery_error="No answer.", delivery_attempts=3, took_ms=1
    )
    claim = outbox.claim

    def slowly(model, pk):
        found = claim(model, pk)
        time.sleep(0.5)
        return found

    def deliver(pk):
        try:
            deliveries.deliver(str(pk))
        finally:
            connection.close()

    monkeypatch.setattr(outbox, "claim", slowly)
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(deliver, Delivery.objects.values_list("pk", flat=True)))
    assert [body["n"] for _url, body, _headers in called] == [2]
    assert not Delivery.objects.filter(state="pending").exists()


def dead_channel(called) -> None:
    """Nobody answers there."""
    channel(most_per_minute=100)
    called.answer = Unavailable("host.example did not answer.", service="webhook")


def waits_s() -> float:
    """Until the next try of what is not delivered yet."""
    at = min(Delivery.objects.filter(state="pending").values_list("next_attempt_at", flat=True))
    return (at - timezone.now()).total_seconds()


def test_what_is_gathered_in_vain_backs_off_and_keeps_its_age(called):
    dead_channel(called)
    waits = []
    for number in range(6):  # one more each time
        opened(f"model {number}")
        deliver_all()
        waits.append(round(waits_s()))
        later(seconds=waits_s() + 0.1)
    assert waits == [10, 20, 40, 80, 160, 320]
    assert len(called) == 6
    ((n, oldest),) = [pending for kind, pending in queries.pending().items() if kind == "webhook"]
    assert n == 2  # the one that gathers, and the newest
    assert (timezone.now() - oldest).total_seconds() == pytest.approx(630, abs=20)
    hour_ago = timezone.now() - timedelta(minutes=10)
    assert queries.troubled_channels(waits_since=hour_ago, lost_since=in_hours(1)) == ["hook"]


def test_what_is_gathered_is_given_up_with_the_oldest_and_the_younger_go_on(called):
    dead_channel(called)
    opened("old")
    deliver_all()
    later(hours=23)
    opened("young")
    deliver_all()
    later(seconds=21)
    deliver_all()
    assert called[-1][1]["n"] == 2
    later(hours=1, minutes=1)
    deliver_all()
    gathered = Delivery.objects.get(event="gathered")
    old, young = (Delivery.objects.get(alert__subject=one) for one in ("old", "young"))
    assert (gathered.state, old.state, old.gathered_in) == ("failed", "gathered", gathered)
    assert (young.state, young.gathered_in, young.delivery_attempts) == ("pending", None, 4)
    assert (young.next_attempt_at - timezone.now()).total_seconds() == pytest.approx(80, abs=10)
    called.answer = gateway.Answer(200, "")
    later(seconds=90)
    deliver_all()
    young.refresh_from_db()
    assert (young.state, called[-1][1]["alert"]["subject"]) == ("delivered", "young")


def test_each_of_many_gathered_is_given_up_at_its_own_time_with_tries_far_apart(called):
    dead_channel(called)
    for number in range(60):
        opened(f"model {number}")
        later(minutes=1)
    deliver_all()
    n_tries = 0
    for _try in range(300):
        if not Delivery.objects.filter(state="pending").exists():
            break
        later(seconds=max(waits_s(), 0) + 0.1)
        before = len(called)
        deliver_all()
        n_tries += len(called) - before
    assert not Delivery.objects.filter(state="pending").exists()
    assert n_tries < 70  # every half an hour for a day, a few more at first


def test_one_channel_that_is_away_is_tried_at_a_time(called, monkeypatch):
    """Each try keeps a place of the worker, and a click waits for the next place that is free."""
    called.answer = Unavailable("host.example did not answer.", service="webhook")
    channel("one")
    channel("two")
    opened()
    deliver_all()
    later(seconds=11)
    first, second = (str(pk) for pk in Delivery.due().values_list("pk", flat=True))
    tried = []

    def post(_url, _body, _headers):
        tried.append(first)
        if len(tried) == 1:
            deliveries.deliver(second)
        return gateway.Answer(200, "")

    monkeypatch.setattr(gateway, "post", post)
    deliveries.deliver(first)
    assert len(tried) == 1
    held = Delivery.objects.get(pk=second)
    assert (held.state, held.delivery_attempts) == ("pending", 1)
    later(seconds=11)
    deliver_all()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_a_worker_that_comes_late_changes_nothing(called, monkeypatch):
    channel()
    opened()
    pk = str(Delivery.objects.get().pk)

    def post(_url, _body, _headers):
        later(seconds=Delivery.lease_s + 1)
        monkeypatch.setattr(gateway, "post", called.post)
        deliveries.deliver(pk)  # another worker, after the lease
        raise Unavailable("host.example did not answer.", service="webhook")

    monkeypatch.setattr(gateway, "post", post)
    deliveries.deliver(pk)
    row = Delivery.objects.get()
    assert (row.state, row.delivery_error, row.next_attempt_at) == ("delivered", "", None)


def test_a_row_that_goes_while_it_is_tried_is_no_error(called, root, monkeypatch):
    found = channel()
    opened()
    monkeypatch.setattr(
        gateway, "post", lambda *_all: channels.remove(found.pk, by=root) or gateway.Answer(200, "")
    )
    deliver_all()
    assert not Delivery.objects.exists()


def test_what_is_done_with_is_not_due_any_more(called):
    channel()
    opened()
    Delivery.objects.update(state="delivered")
    deliver_all()
    assert called == []
    assert Delivery.objects.get().next_attempt_at is None


def test_a_storm_is_read_as_far_as_it_is_told(called):
    """Fifty payloads of it, however many there are."""
    channel(most_per_minute=1)
    for number in range(70):
        opened(f"model {number}", detail=f"loaded {number}.")
    deliver_all()
    later(seconds=61)
    with CaptureQueriesContext(connection) as asked:
        deliveries.deliver(str(Delivery.due().values_list("pk", flat=True)[0]))
    assert (called[-1][1]["n"], len(called[-1][1]["notifications"])) == (69, 50)
    reads = [one["sql"] for one in asked if one["sql"].startswith("SELECT") and '"payload"' in one["sql"]]
    assert [sql for sql in reads if "LIMIT" not in sql and "NOT" in sql] == []


def test_one_that_is_being_tried_is_not_sent_again(called, root, monkeypatch):
    found = channel()
    opened()
    pk = Delivery.objects.get().pk
    refused = []

    def post(_url, _body, _headers):
        with pytest.raises(Conflict, match="on its way already"):
            channels.resend(found.pk, pk, by=root)
        refused.append(pk)
        raise Unavailable("host.example did not answer.", service="webhook")

    monkeypatch.setattr(gateway, "post", post)
    deliver_all()
    later(seconds=11)
    deliver_all()
    assert refused == [pk, pk]
    assert channels.resend(found.pk, pk, by=root).state == "pending"


def test_a_channel_that_is_told_of_an_alert_is_not_removed_meanwhile():
    """The row's reference would fail at the end of the alert's transaction, and the alert with it."""
    channel()
    with CaptureQueriesContext(connection) as asked:
        opened()
    (read,) = [one["sql"] for one in asked if "FROM alerts_channel" in one["sql"]]
    assert read.endswith("FOR KEY SHARE")


# --- e-mail


@pytest.fixture
def people(root, settings):
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    return channels.create("email", name="people", recipients=["ana@example.org", "bo@example.org"], by=root)[
        0
    ]


def test_people_get_a_mail_in_one_thread(people):
    alert = opened(title="Age\ndrifts\r\nBcc: x@example.org", severity="critical")
    actions.settle("drift", "titanic")
    deliver_all()
    first, second = outgoing.outbox
    assert first.subject == "[Atalaya] Opened, critical: Age drifts Bcc: x@example.org"
    assert second.subject.startswith("[Atalaya] Resolved")
    assert first.to == ["ana@example.org", "bo@example.org"]
    assert f"/monitoring/alerts/{alert.pk}" in first.body
    assert "PSI of Age: 0.3100, limit 0.2000" in first.body
    assert first.extra_headers["References"] == second.extra_headers["References"]
    rows = Delivery.objects.order_by("created_at")
    assert [str(row.pk) in message.message()["Message-ID"] for row, message in
            zip(rows, outgoing.outbox, strict=True)] == [True, True]  # fmt: skip
    assert {row.state for row in rows} == {"delivered"}


def test_a_storm_and_a_test_are_mails_too(people, root):
    Channel.objects.update(most_per_minute=1)
    for number in range(3):
        opened(f"model {number}", title=f"Model {number} drifts")
    deliver_all()
    later(seconds=61)
    channels.test(people.pk, by=root)
    deliver_all()
    subjects = [message.subject for message in outgoing.outbox]
    assert sorted(subjects) == [
        "[Atalaya] 2 notifications",
        "[Atalaya] Opened, warning: Model 0 drifts",
        "[Atalaya] This is a test",
    ]
    gathered = next(message.body for message in outgoing.outbox if "2 notif" in message.subject)
    assert "Model 1 drifts" in gathered
    assert "Model 2 drifts" in gathered


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route"),
        smtplib.SMTPServerDisconnected("gone"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
    ],
)
def test_a_mail_server_that_is_away_is_asked_again(people, monkeypatch, error):
    def send(_message):
        raise error

    monkeypatch.setattr(mail.EmailMessage, "send", send)
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.status) == ("pending", None)
    assert "The mail server did not take it" in row.delivery_error


def test_an_address_that_no_mail_can_hold_is_said_and_the_rest_goes_on(people):
    Channel.objects.update(recipients=["ana@example.org", UNWRITABLE])
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert row.state == "pending"
    assert "cannot be written" in row.delivery_error


def slow_mail_server(sent: list[str]) -> int:
    """A server that thinks about each recipient for a while; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening, listening.accept()[0] as connection, connection.makefile("rwb", 0) as lines:
            lines.write(b"220 here\r\n")
            for line in lines:
                sent.append(line.decode().split()[0].upper())
                if sent[-1] == "RCPT":
                    time.sleep(0.2)
                try:
                    lines.write(b"250 fine\r\n")
                except OSError:
                    return

    Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


def test_a_mail_ends_however_slowly_each_step_goes(settings, monkeypatch):
    sent: list[str] = []
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    settings.EMAIL_BACKEND = "core.alerts.mail.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", slow_mail_server(sent)
    monkeypatch.setattr(mail, "LONGEST_S", 0.5)
    payload = {"event": "test", "id": "1", "url": "http://host.example/"}
    with pytest.raises(Unavailable, match="did not take it"):
        mail.send(payload, [f"{number}@example.org" for number in range(20)])
    assert 1 <= sent.count("RCPT") < 10
    assert "DATA" not in sent


def dripping_mail_server() -> int:
    """A server whose greeting never ends; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening, listening.accept()[0] as connection:
            while True:
                time.sleep(0.05)
                try:
                    connection.sendall(b"2")
                except OSError:
                    return

    Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


def test_a_mail_ends_though_a_byte_comes_now_and_then(settings, monkeypatch):
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    settings.EMAIL_BACKEND = "core.alerts.mail.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", dripping_mail_server()
    monkeypatch.setattr(mail, "LONGEST_S", 0.5)
    began_at = time.monotonic()
    with pytest.raises(Unavailable, match="did not take it"):
        mail.send({"event": "test", "id": "1", "url": "http://host.example/"}, ["ana@example.org"])
    assert time.monotonic() - began_at < 3


TEST_MAIL = {"event": "test", "id": "1", "url": "http://host.example/"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("recipients", "subject"),
    [
        (["Ana@example.org"], "[Atalaya] Esto es una prueba"),
        (["ana@example.org", "eva@example.org"], "[Atalaya] Esto es una prueba"),
        (["ana@example.org", "bo@example.org"], "[Atalaya] This is a test"),  # bo chose none
        (["ana@example.org", "team@example.org"], "[Atalaya] This is a test"),  # nobody's
    ],
)
def test_a_mail_is_in_the_language_that_all_its_recipients_chose(settings, recipients, subject):
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    for name, language in [("ana", "es"), ("eva", "es"), ("bo", "")]:
        make_user(name, email=f"{name}@example.org", language=language)
    mail.send(TEST_MAIL, recipients)
    assert [message.subject for message in outgoing.outbox] == [subject]


@pytest.fixture
def choosy(settings):
    """A mail server that refuses whoever is in `refuses`; `taken` holds the recipients of each mail."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = SimpleNamespace(refuses={"bo@example.org"}, answer=b"450 busy\r\n", taken=[])

    def talk(lines):
        lines.write(b"220 here\r\n")
        recipients = []
        for line in lines:
            word, text = line.decode().split()[0].upper(), line.decode()
            answer = b"250 fine\r\n"
            if word == "RCPT":
                address = text[text.index("<") + 1 : text.index(">")]
                is_refused = address in server.refuses
                answer = server.answer if is_refused else answer
                recipients += [] if is_refused else [address]
            if word == "DATA":
                lines.write(b"354 go on\r\n")
                while lines.readline() != b".\r\n":
                    pass
                server.taken.append(recipients)
            lines.write(answer)

    def serve():
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rwb", 0) as lines, suppress(OSError):
                talk(lines)

    Thread(target=serve, daemon=True).start()
    settings.EMAIL_BACKEND = "core.alerts.mail.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = listening.getsockname()
    yield server
    listening.close()


def test_whom_the_mail_server_refused_is_tried_again_alone(people, choosy):
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.refused) == ("pending", ["bo@example.org"])
    assert "not for bo@example.org: 450 busy" in row.delivery_error
    later(seconds=120)
    deliver_all()  # refused once more
    assert Delivery.objects.get().refused == ["bo@example.org"]
    choosy.refuses.clear()
    later(seconds=3600)
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.refused, row.delivery_error) == ("delivered", [], "")
    assert choosy.taken == [["ana@example.org"], ["bo@example.org"]]


def test_a_mail_that_some_have_got_is_gathered_with_no_other(people, choosy):
    opened()
    deliver_all()
    opened("another model")
    deliver_all()
    choosy.refuses.clear()
    later(seconds=3600)
    deliver_all()
    assert choosy.taken == [["ana@example.org"], ["ana@example.org"], ["bo@example.org"], ["bo@example.org"]]
    assert {row.state for row in Delivery.objects.all()} == {"delivered"}


def test_whom_nobody_wants_told_any_more_is_not_tried_again(people, choosy):
    opened()
    deliver_all()
    Channel.objects.update(recipients=["ana@example.org"])
    later(seconds=3600)
    deliver_all()
    assert Delivery.objects.get().state == "delivered"
    assert choosy.taken == [["ana@example.org"]]


def test_a_mail_that_all_are_refused_waits_as_where_nobody_answers(people, choosy):
    choosy.refuses.add("ana@example.org")
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.refused, choosy.taken) == ("pending", [], [])
    assert "did not take it: 450 busy" in row.delivery_error


def test_a_mail_has_longer_than_a_webhook(people, monkeypatch):
    opened()
    ends = []
    monkeypatch.setattr(mail, "send", lambda *_all: ends.append(Delivery.objects.get().next_attempt_at))
    deliver_all()
    assert (ends[0] - timezone.now()).total_seconds() > 290 > mail.LONGEST_S


def test_without_a_mail_server_the_log_says_so(people, settings):
    settings.CONSOLE_EMAIL_URL = ""
    opened()
    deliver_all()
    assert "CONSOLE_EMAIL_URL" in Delivery.objects.get().delivery_error
    assert outgoing.outbox == []


# --- the end


def test_what_was_delivered_long_ago_goes_and_what_waits_stays(called, settings):
    settings.CONSOLE_NOTIFICATIONS_KEEP_DAYS = 10
    channel()
    opened("old")
    deliver_all()
    Delivery.objects.update(ended_at=timezone.now() - timedelta(days=11), created_at=in_hours(-24 * 11))
    opened("new")
    tasks.clear_old()
    assert Delivery.objects.get().alert.subject == "new"


def test_a_notification_outlives_its_alert(called):
    channel()
    alert = opened()
    alert.delete()
    deliver_all()
    assert called[0][1]["alert"]["subject"] == "titanic"


def test_a_mail_server_that_closes_at_a_recipient_has_sent_nothing_to_anybody(people, choosy):
    choosy.answer = b"421 closing\r\n"
    opened()
    deliver_all()
    row = Delivery.objects.get()
    assert (row.state, row.refused, choosy.taken) == ("pending", [], [])
    assert "did not take it: 421 closing" in row.delivery_error
    choosy.refuses.clear()
    later(seconds=120)
    deliver_all()
    assert choosy.taken == [["ana@example.org", "bo@example.org"]]
