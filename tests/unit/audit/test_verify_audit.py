"""An attacker with the database's password switches the triggers off and changes what they like."""

from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from core.audit import actions, digest, sealing, verifying
from core.audit.models import AuditEntry, AuditSeal

pytestmark = pytest.mark.django_db
TABLES = ("audit_auditentry", "audit_auditseal")


@contextmanager
def triggers_off():
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def ids(monkeypatch):
    """Twelve entries under four seals of three, with a free id between any two entries."""
    monkeypatch.setattr(sealing, "BATCH", 3)
    start = 1000
    AuditEntry.objects.bulk_create(
        AuditEntry(
            pk=start + 10 * i,
            actor_name=f"user {i}",
            action="thing.make",
            object_type="thing",
            object_id=str(i),
            after={"i": i},
            remote_addr="10.0.0.1",
        )
        for i in range(12)
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('audit_auditentry', 'id'), %s)", [start + 110])
    assert sealing.seal_new() == 12
    return [start + 10 * i for i in range(12)]


def verify(*args):
    out = StringIO()
    call_command("verify_audit", *args, stdout=out)
    return out.getvalue()


def found():
    """What the command says is broken."""
    with pytest.raises(CommandError) as raised:
        verify()
    return str(raised.value)


def head():
    return str(sealing.head())


def test_whole_chain_is_told_with_its_head(ids):
    actions.record("thing.make", "late", by=None)
    said = verify()
    assert "12 entries under 4 seals: each is what was sealed." in said
    assert "Not sealed yet: 1." in said
    assert f"Sealed up to entry {ids[-1]}. Head: {head()}" in said


def test_empty_trail_is_whole():
    assert "0 entries under 0 seals" in verify()


@pytest.mark.parametrize(
    "change",
    [
        "actor_name = 'nobody'",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "after = '{\"i\": 4.0}'",
        "after = NULL",
        "before = 'null'",
        "remote_addr = '10.0.0.1/8'",
        "actor_id = 0",
        "upstream_id = 'x'",
    ],
)
def test_changed_entry_is_named(ids, change):
    with triggers_off() as cursor:
        cursor.execute(f"UPDATE audit_auditentry SET {change} WHERE id = {ids[4]}")
    assert f"Seal 2 of {AuditSeal.objects.get(number=2).sealed_at:%Y-%m-%d}" in found()
    assert found().endswith(f"changed: {ids[4]}.")


@pytest.mark.parametrize("position", [0, 4, 5, 11])
def test_deleted_entry_is_named(ids, position):
    with triggers_off() as cursor:
        cursor.execute("DELETE FROM audit_auditentry WHERE id = %s", [ids[position]])
    assert f"Seal {position // 3 + 1} of" in found()
    assert found().endswith(f"missing: {ids[position]}.")


def test_swapped_entries_are_named(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET id = -1 WHERE id = %s", [ids[3]])
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = %s", [ids[3], ids[5]])
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = -1", [ids[5]])
    assert found().endswith(f"changed: {ids[3]}, {ids[5]}.")


def test_entries_swapped_across_seals_are_found(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET id = -1 WHERE id = %s", [ids[1]])
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = %s", [ids[1], ids[10]])
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = -1", [ids[10]])
    assert "Seal 1 of" in found()
    assert found().endswith(f"changed: {ids[1]}.")


def test_moved_entry_is_missing_and_added(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = %s", [ids[3] + 1, ids[4]])
    assert found().endswith(f"missing: {ids[4]}; not there when it was sealed: {ids[3] + 1}.")


def test_entry_moved_behind_the_seals_is_missing(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET id = %s WHERE id = %s", [ids[-1] + 5, ids[4]])
    assert found().endswith(f"missing: {ids[4]}.")


@pytest.mark.parametrize("id_", [-5, 999, 1001, 1035, 1109])
def test_inserted_entry_is_named(ids, id_):
    AuditEntry.objects.create(pk=id_, actor_name="x", action="y", object_type="z", object_id="1")
    assert found().endswith(f"not there when it was sealed: {id_}.")


def test_many_inserted_entries_are_named_in_part(ids):
    AuditEntry.objects.bulk_create(
        AuditEntry(pk=1001 + i, actor_name="x", action="y", object_type="z", object_id="1") for i in range(9)
    )
    assert found().endswith("not there when it was sealed: entries 1001, 1002, 1003, 1004, 1005 and 2 more.")


@pytest.mark.parametrize(
    "change",
    [
        "sealed_at = sealed_at - interval '1 day'",
        "up_to_id = up_to_id - 1",
        "n_entries = 2",
        "manifest = manifest || manifest",
        "manifest = ''",
        f"hash = '{'f' * 64}'",
        f"previous = '{'f' * 64}'",
    ],
)
def test_changed_seal_is_named(ids, change):
    with triggers_off() as cursor:
        cursor.execute(f"UPDATE audit_auditseal SET {change} WHERE number = 3")
    assert "Seal 3 was changed" in found()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_deleted_seal_is_named(ids, number):
    with triggers_off() as cursor:
        cursor.execute("DELETE FROM audit_auditseal WHERE number = %s", [number])
    assert f"Seal {number} is missing: the next one is {number + 1}." in found()


def test_swapped_seals_are_found(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditseal SET number = 99 WHERE number = 2")
        cursor.execute("UPDATE audit_auditseal SET number = 2 WHERE number = 3")
        cursor.execute("UPDATE audit_auditseal SET number = 3 WHERE number = 99")
    assert "Seal 2 was changed" in found()


def forge(seal):
    """What an attacker who knows the format writes: the seal over the entries as they are now."""
    before = AuditSeal.objects.filter(number=seal.number - 1).first()
    entries = sealing.read_entries(before.up_to_id if before else None, seal.up_to_id, limit=100)
    seal.manifest = digest.manifest(entries)
    seal.n_entries = len(entries)
    seal.previous = before.hash if before else digest.GENESIS
    seal.hash = sealing.hash_of(seal)
    seal.save(force_update=True)


def test_forged_seal_does_not_lead_to_the_next(ids):
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET actor_name = 'nobody' WHERE id = %s", [ids[4]])
        forge(AuditSeal.objects.get(number=2))
    assert "Seal 3 does not follow seal 2" in found()


def test_chain_made_anew_is_found_with_a_noted_head(ids):
    noted = head()
    with triggers_off() as cursor:
        cursor.execute("UPDATE audit_auditentry SET actor_name = 'nobody' WHERE id = %s", [ids[4]])
        for number in (2, 3, 4):
            forge(AuditSeal.objects.get(number=number))
    assert "each is what was sealed" in verify()  # by itself the database cannot know
    with pytest.raises(CommandError, match="Seal 4 is another one than was noted"):
        verify("--head", noted)


def test_tail_cut_off_is_found_with_a_noted_head(ids):
    noted = head()
    with triggers_off() as cursor:
        cursor.execute("DELETE FROM audit_auditseal WHERE number > 2")
        cursor.execute("DELETE FROM audit_auditentry WHERE id > %s", [ids[5]])
    assert "each is what was sealed" in verify()
    with pytest.raises(CommandError, match="noted seal 4 is gone: the chain ends with 2"):
        verify("--head", noted)


def test_noted_heads_stay_in_a_chain_that_grows(ids, monkeypatch):
    first, noted = str(AuditSeal.objects.get(number=1)), head()
    actions.record("thing.make", "later", by=None)
    sealing.seal_new()
    said = verify("--head", noted, "--head", first)
    assert "The noted seal 4 is in the chain." in said
    assert "The noted seal 1 is in the chain." in said


def test_entries_that_wait_for_long_are_pointed_out(ids):
    AuditEntry.objects.create(
        at=timezone.now() - timedelta(hours=1), actor_name="x", action="y", object_type="z", object_id="1"
    )
    assert "some for more than 5 minutes" in verify()


def test_head_that_is_none_is_refused():
    with pytest.raises(CommandError, match="NUMBER:64 hexadecimal digits"):
        verify("--head", "12")


def test_seals_are_read_a_few_at_a_time(ids, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(verifying, "SEALS_AT_ONCE", 3)
    with django_assert_num_queries(10):  # the head, 3 times seals, 4 times entries, 2 for what waits
        assert verifying.verify([]).n_seals == 4
