"""Seals new entries: batches of them, by their ids, into a chain of hashes in a table of its own.

Writers know nothing of it. Ids come from a sequence and transactions end out of order, so an entry with a
lower id may become visible after a higher one; no seal may close the door on it. The proof that all entries
up to an id are there is PostgreSQL's own lock table: every INSERT takes ROW EXCLUSIVE on the table before it
draws its id and keeps it until its transaction has ended and is visible. So once nobody who held that lock
*after* an id was seen holds it any more, all ids below are either visible or will never be. (CREATE INDEX
CONCURRENTLY waits in the same way.) Nobody is blocked, and long transactions elsewhere do not matter.
"""

import time
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.utils import timezone

from core.audit import digest
from core.audit.models import AuditEntry, AuditSeal

log = structlog.get_logger(__name__)

BATCH = 1000
MOST_BATCHES = 100
PATIENCE_S = 2.0
POLL_S = 0.05
_LOCK = 0x61756469745F7365  # "audit_se"

_READ = f"SELECT {', '.join(digest.COLUMNS.values())} FROM {AuditEntry._meta.db_table}"  # noqa: S608
_WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = %s::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid()
"""


@dataclass(frozen=True)
class Head:
    """The newest seal without its manifest."""

    number: int
    hash: str
    up_to_id: int
    sealed_at: datetime

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def head() -> Head | None:
    """The newest seal; None while there is none."""
    rows = AuditSeal.objects.order_by("-number").values_list("number", "hash", "up_to_id", "sealed_at")
    return next((Head(*row) for row in rows[:1]), None)


def seal_new(*, patience_s: float = PATIENCE_S) -> int:
    """Seal what can be sealed; returns how many entries. Costs one query when there is nothing."""
    up_to_id = _settled_id(patience_s)
    if up_to_id is None:
        return 0
    n_sealed = 0
    for _number in range(MOST_BATCHES):
        n_entries = _seal_batch(up_to_id)
        n_sealed += n_entries
        if n_entries < BATCH:
            break
    return n_sealed


def _settled_id(patience_s: float) -> int | None:
    """An id up to which all entries are there for good; None when there is nothing to seal, or not yet."""
    newest = _newest_unsealed_id()
    if newest is None:
        return None
    writers = _writers()
    give_up_at = time.monotonic() + patience_s
    while writers and time.monotonic() < give_up_at:
        time.sleep(POLL_S)
        writers &= _writers()
    if writers:
        log.info("audit.seal_waits", up_to=newest, open_transactions=len(writers))
        return None
    return newest


def _newest_unsealed_id() -> int | None:
    last = head()
    rows = AuditEntry.objects.filter(pk__gt=last.up_to_id) if last else AuditEntry.objects.all()
    return rows.order_by("-pk").values_list("pk", flat=True).first()


def _writers() -> set[str]:
    """Transactions that have added an entry, or are about to, and have not ended."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS, [AuditEntry._meta.db_table])
        return {transaction_id for (transaction_id,) in cursor.fetchall()}


@transaction.atomic
def _seal_batch(up_to_id: int) -> int:
    """Seal the next entries up to this id; 0 when there are none, or when another sealer is at it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if cursor.fetchone() != (True,):
            return 0
    last = head()
    entries = read_entries(last.up_to_id if last else None, up_to_id, limit=BATCH)
    if not entries:
        return 0
    seal = _next_seal(last, entries)
    seal.save(force_insert=True)
    transaction.on_commit(
        lambda: log.info("audit.sealed", seal=str(seal), up_to=seal.up_to_id, entries=len(entries))
    )
    return len(entries)


def _next_seal(last: Head | None, entries: list[tuple[int, bytes]]) -> AuditSeal:
    seal = AuditSeal(
        number=last.number + 1 if last else 1,
        previous=last.hash if last else digest.GENESIS,
        up_to_id=entries[-1][0],
        n_entries=len(entries),
        manifest=digest.manifest(entries),
        sealed_at=timezone.now(),
    )
    seal.hash = hash_of(seal)
    return seal


def hash_of(seal: AuditSeal) -> str:
    """The hash that the seal should carry."""
    content = bytes(seal.manifest)
    return digest.of_seal(seal.number, seal.previous, seal.up_to_id, seal.n_entries, content, seal.sealed_at)


def read_entries(after_id: int | None, up_to_id: int, *, limit: int) -> list[tuple[int, bytes]]:
    """(id, hash) of the first entries in this range as they are stored now, lowest id first.

    The upper bound is applied here: with two bounds and no statistics PostgreSQL sorts instead of walking
    the index, which made a first sealing of 100,000 entries several times as slow.
    """
    after, ids = ("", []) if after_id is None else ("WHERE id > %s", [after_id])
    with connection.cursor() as cursor:
        cursor.execute(f"{_READ} {after} ORDER BY id LIMIT %s", [*ids, limit])
        return [(row[0], digest.of_entry(row)) for row in cursor.fetchall() if row[0] <= up_to_id]
