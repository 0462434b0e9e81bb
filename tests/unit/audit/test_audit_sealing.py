"""Sealing: what goes under a seal and when, on real transactions and with several sealers."""

import threading
from contextlib import contextmanager

import pytest
from django.db import IntegrityError, connection, transaction

from core.audit import actions, digest, sealing, tasks, verifying
from core.audit.models import AuditEntry, AuditSeal

pytestmark = pytest.mark.django_db


def make_entries(n):
    return [actions.record("thing.make", f"thing {i}", by=None, after={"i": i}) for i in range(n)]


def test_entries_are_sealed_in_batches_that_name_the_seal_before(monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 4)
    entries = make_entries(10)
    assert tasks.seal_audit() == 10
    seals = list(AuditSeal.objects.all())
    assert [seal.n_entries for seal in seals] == [4, 4, 2]
    assert [seal.previous for seal in seals] == [digest.GENESIS, seals[0].hash, seals[1].hash]
    assert [seal.up_to_id for seal in seals] == [entries[3].pk, entries[7].pk, entries[9].pk]


def test_nothing_new_costs_two_indexed_queries(django_assert_num_queries):
    make_entries(2)
    sealing.seal_new()
    with django_assert_num_queries(2):  # the head, and whether an entry follows
        assert sealing.seal_new() == 0


def test_what_an_action_takes_back_leaves_a_gap_that_does_no_harm():
    make_entries(1)
    with transaction.atomic():
        make_entries(1)
        transaction.set_rollback(True)
    make_entries(1)
    assert sealing.seal_new() == 2
    assert verifying.verify([]).n_entries == 2


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_auditseal SET n_entries = 7", "DELETE FROM audit_auditseal", "TRUNCATE audit_auditseal"],
)
def test_sql_cannot_touch_a_seal(statement):
    make_entries(1)
    sealing.seal_new()
    with (
        pytest.raises(IntegrityError, match="the audit trail is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditSeal.objects.get().n_entries == 1


def test_chain_cannot_fork():
    make_entries(1)
    sealing.seal_new()
    first = AuditSeal.objects.get()
    with pytest.raises(IntegrityError, match="previous"), transaction.atomic():
        AuditSeal.objects.create(
            number=2,
            previous=first.previous,
            up_to_id=first.up_to_id + 1,
            n_entries=1,
            manifest=b"",
            sealed_at=first.sealed_at,
            hash="f" * 64,
        )


@contextmanager
def another_connection():
    other = connection.copy()
    try:
        yield other
    finally:
        other.close()


INSERT = """
INSERT INTO audit_auditentry
    (at, actor_name, token_name, action, object_type, object_id, object_label, request_id, upstream_id)
VALUES (now(), 'ana', '', 'thing.make', 'thing', '1', '', '', '') RETURNING id
"""


def insert_by(other):
    with other.cursor() as cursor:
        cursor.execute(INSERT)
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_seal_waits_for_a_transaction_that_holds_a_lower_id():
    make_entries(1)
    sealing.seal_new()
    with another_connection() as slow:
        slow.set_autocommit(False)
        low = insert_by(slow)
        high = make_entries(3)[-1].pk
        assert low < high
        assert sealing.seal_new(patience_s=0.1) == 0
        slow.commit()
    assert sealing.seal_new() == 4
    assert low in digest.read_manifest(bytes(AuditSeal.objects.get(number=2).manifest))
    assert verifying.verify([]).n_entries == 5


@pytest.mark.django_db(transaction=True)
def test_transaction_that_gives_up_its_id_holds_nothing_up_afterwards():
    with another_connection() as slow:
        slow.set_autocommit(False)
        insert_by(slow)
        make_entries(2)
        assert sealing.seal_new(patience_s=0) == 0
        slow.rollback()
    assert sealing.seal_new() == 2
    assert verifying.verify([]).n_entries == 2


@pytest.mark.django_db(transaction=True)
def test_transactions_that_wrote_no_entry_hold_nothing_up():
    make_entries(2)
    with another_connection() as idle, idle.cursor() as cursor:
        idle.set_autocommit(False)
        cursor.execute("SELECT pg_current_xact_id(), count(*) FROM audit_auditentry")
        assert sealing.seal_new(patience_s=0) == 2


@pytest.mark.django_db(transaction=True)
def test_writers_that_keep_coming_do_not_starve_the_seal(monkeypatch):
    """Only those are waited for that were there when the newest entry was seen."""
    make_entries(2)
    earlier, later = {"4/17"}, {"5/3"}
    answers = iter([earlier | later, later, later])
    monkeypatch.setattr(sealing, "_writers", lambda: next(answers))
    assert sealing.seal_new(patience_s=0.08) == 0
    answers = iter([earlier, later])
    assert sealing.seal_new(patience_s=5) == 2


@pytest.mark.django_db(transaction=True)
def test_many_sealers_and_writers_at_once_make_one_whole_chain(monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 7)
    barrier = threading.Barrier(6)
    failures = []

    def run(work):
        try:
            barrier.wait()
            work()
        except Exception as error:  # noqa: BLE001 — a thread's failure is told by the assertion below
            failures.append(error)
        finally:
            connection.close()

    def write():
        for _ in range(40):
            with transaction.atomic():
                make_entries(2)

    def seal():
        for _ in range(20):
            sealing.seal_new(patience_s=0.2)

    threads = [threading.Thread(target=run, args=[work]) for work in (write, write, write, seal, seal, seal)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    sealing.seal_new()
    assert AuditEntry.objects.count() == 240
    report = verifying.verify([])
    assert (report.n_entries, report.n_waiting) == (240, 0)
