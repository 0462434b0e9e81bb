"""What is hashed: worked by hand where that can be, and no two different entries with one text."""

import hashlib
from datetime import UTC, datetime

import pytest
from django.db import connection

from core.audit import actions, digest, sealing
from core.audit.models import AuditEntry


def entry(**values):
    """The values of an entry as the database's expressions give them."""
    plain = {
        "id": 7,
        "at": "1767225600.000001",
        "actor_id": 1,
        "actor_name": "ana",
        "token_name": "",
        "action": "run.trigger",
        "object_type": "run",
        "object_id": "1",
        "object_label": "a run",
        "before": None,
        "after": '{"n": 1, "a": [true, null]}',
        "remote_addr": "127.0.0.1/32",
        "request_id": "",
        "upstream_id": "",
    }
    return tuple((plain | values).values())


def test_entry_is_hashed_as_one_line_of_json():
    line = (
        '[7,"1767225600.000001",1,"ana","","run.trigger","run","1","a run",null,'
        '[{"a":[true,null],"n":"\\u00001"}],"127.0.0.1/32","",""]'
    )
    assert digest.of_entry(entry()) == hashlib.sha256(line.encode()).digest()


def test_every_column_is_hashed():
    columns = [field.column for field in AuditEntry._meta.concrete_fields]
    assert list(digest.COLUMNS) == columns


def test_spaces_and_order_of_keys_do_not_matter():
    assert digest.of_entry(entry(after='{"a":[true,null],"n":1}')) == digest.of_entry(entry())


@pytest.mark.parametrize(
    "values",
    [
        {"after": '{"n": 1.0, "a": [true, null]}'},
        {"after": '{"n": "1", "a": [true, null]}'},
        {"after": '{"n": 1.00000000000000000000001, "a": [true, null]}'},
        {"after": '{"n": 1, "a": [null, true]}'},
        {"after": None},
        {"after": "null"},
        {"before": '{"n": 1, "a": [true, null]}', "after": None},
        {"at": "1767225600.000002"},
        {"remote_addr": "127.0.0.1/8"},
        {"actor_id": None},
        {"id": 8},
        {"token_name": "run.trigger", "action": ""},
        {"after": "[" * 5000 + "]" * 5000},
    ],
)
def test_another_entry_has_another_hash(values):
    assert digest.of_entry(entry(**values)) != digest.of_entry(entry())


def test_seal_is_hashed_as_one_line_of_json():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    manifest = digest.manifest([(7, b"\x01" * 32)])
    assert manifest.hex() == "0000000000000007" + "01" * 32
    line = (
        f'["atalaya-audit-1",2,"{"a" * 64}",7,1,"{hashlib.sha256(manifest).hexdigest()}",'
        '"2026-01-02T03:04:05.000000+00:00"]'
    )
    assert digest.of_seal(2, "a" * 64, 7, 1, manifest, at) == hashlib.sha256(line.encode()).hexdigest()


def test_manifest_is_read_as_it_was_written():
    entries = {-3: b"a" * 32, 9: b"b" * 32}
    assert digest.read_manifest(digest.manifest(entries.items())) == entries
    assert digest.read_manifest(b"short") == {}


@pytest.mark.django_db
def test_settings_of_the_session_do_not_change_a_hash():
    after = {"share": 0.1, "tiny": 1e-30, "big": 2**70, "é": ["\u2028", {"b": 1, "a": -0.0}]}
    made = actions.record("thing.make", "a thing", by=None, after=after)
    before = sealing.read_entries(None, made.pk, limit=10)
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Kathmandu'; SET datestyle = 'German'; SET extra_float_digits = 0")
        assert sealing.read_entries(None, made.pk, limit=10) == before
        cursor.execute("RESET ALL; SET TIME ZONE 'UTC'")
