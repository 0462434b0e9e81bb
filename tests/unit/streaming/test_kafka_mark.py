"""Names in Kafka are of one database: numbers of another, or of an earlier one, are none of its own."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from stack import restore
from streaming import ledger
from streaming.dead_topics import DeadSender
from streaming.exactly_once import Outgoing, Sender, forget
from streaming.models import KafkaMark, Replay
from tests.migrating import migrate as migrate
from tests.unit.streaming.events import make_stream

pytestmark = pytest.mark.django_db


def test_one_installation_finds_its_own_number_and_another_none(broker):
    broker.add("t")
    with Sender("s", "t") as sender:
        sender.send([Outgoing(b"1")], next_number=7)
    with Sender("s", "t") as sender:
        assert sender.next_number() == 7
    KafkaMark.objects.all().delete()
    with Sender("s", "t") as sender:
        assert sender.next_number() == 0
    names = {name for name in broker.epochs if broker.epochs[name]}
    assert len(names) == 2
    assert all(name.startswith("atalaya-") and name.endswith("-s") for name in names)


def test_a_number_is_forgotten_under_the_name_that_holds_it(broker):
    broker.add("t")
    with Sender("s", "t") as sender:
        sender.send([Outgoing(b"1")], next_number=7)
    forget("s")
    assert not broker.numbers


def test_letters_of_a_restored_database_go_though_an_earlier_one_sent_such_numbers(broker):
    stream = make_stream()
    broker.add(stream.dead_topic)
    with Sender(f"dead-{stream.pk}", stream.dead_topic) as sender:
        sender.send([], next_number=10**9)
    KafkaMark.objects.all().delete()
    ledger._save_dead(stream, [ledger.dead(0, 0, "odd", key=None, value=b"x")])
    assert DeadSender(stream, threading.Event()).send() == 1
    assert len(broker.read(stream.dead_topic)) == 1


@pytest.mark.parametrize("is_used", [True, False])
def test_an_installation_in_use_keeps_its_names(migrate, is_used):
    migrate(("streaming", "0012_gone_messages"))
    if is_used:
        Replay.objects.create(source="f", topic="t", rate=1, ended_at=timezone.now())
    migrate(("streaming", "0014_names_in_use"))
    assert (KafkaMark.of("s") == "s") == is_used


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_table", [True, False])
def test_a_restore_takes_the_mark_away(monkeypatch, has_table):
    if not has_table:
        monkeypatch.setattr(restore, "HAS_KAFKA_MARK", "SELECT false")
    before = KafkaMark.of("s")
    about = connection.settings_dict
    parts = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
    restore.forget_kafka_mark(" ".join(f"{key}={about[name]}" for key, name in parts.items() if about[name]))
    assert (KafkaMark.of("s") != before) == has_table
