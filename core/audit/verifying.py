"""Walks the chain of seals and the entries under it, and says where it breaks first.

What no walk can find by itself: seals cut off at the end (their entries then look as if they waited), and a
chain that somebody computed anew from some link on. Both need a head that was noted elsewhere: `anchor`.
The worker's log carries one for every seal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from core.audit import digest, sealing
from core.audit.models import AuditEntry, AuditSeal

SEALS_AT_ONCE = 20
MOST_NAMED = 5
# Sealing takes seconds: entries that wait longer mean that nobody seals, or that seals were cut off.
LONG_WAIT = timedelta(minutes=5)


class Broken(Exception):
    """The first link that does not hold, in words."""


@dataclass(frozen=True)
class Anchor:
    """A head that somebody noted earlier."""

    number: int
    hash: str


@dataclass
class Report:
    """What was walked. head: of the chain as it is now, None when nothing is sealed."""

    n_seals: int = 0
    n_entries: int = 0
    head: str | None = None
    up_to_id: int | None = None
    n_waiting: int = 0
    has_long_wait: bool = False
    anchors_left: list[Anchor] = field(default_factory=list)


def verify(anchors: list[Anchor]) -> Report:
    """Walk everything that was sealed when this began. Raises Broken at the first link that does not hold."""
    report = Report(anchors_left=list(anchors))
    previous: AuditSeal | None = None
    for seal in _seals():
        _check_link(seal, previous)
        _check_entries(seal, previous)
        _check_anchors(seal, report)
        report.n_seals += 1
        report.n_entries += seal.n_entries
        previous = seal
    if report.anchors_left:
        raise Broken(_cut_words(report.anchors_left[0], previous))
    report.head, report.up_to_id = (str(previous), previous.up_to_id) if previous else (None, None)
    _count_waiting(report)
    return report


def _seals() -> Iterator[AuditSeal]:
    """All seals, a few at a time: their manifests are large. In the order of their ranges of entries."""
    last = sealing.head()
    number = None
    while last is not None:
        rows = AuditSeal.objects.filter(number__lte=last.number).order_by("number")
        seals = list((rows if number is None else rows.filter(number__gt=number))[:SEALS_AT_ONCE])
        if not seals:
            return
        yield from seals
        number = seals[-1].number


def _check_link(seal: AuditSeal, previous: AuditSeal | None) -> None:
    expected = previous.number + 1 if previous else 1
    if seal.number != expected:
        raise Broken(_("Seal %(n)s is missing: the next one is %(found)s.") % _named(expected, seal.number))
    if seal.hash != sealing.hash_of(seal):
        raise Broken(_("Seal %(n)s was changed: its hash is not that of what it says.") % {"n": seal.number})
    if seal.previous != (previous.hash if previous else digest.GENESIS):
        raise Broken(
            _("Seal %(n)s does not follow seal %(found)s: it names another hash before it.")
            % _named(seal.number, seal.number - 1)
        )
    if previous is not None and seal.up_to_id <= previous.up_to_id:
        raise Broken(_("Seal %(n)s goes back behind the entries of the seal before.") % {"n": seal.number})


def _named(number: int, found: int) -> dict[str, int]:
    return {"n": number, "found": found}


def _check_entries(seal: AuditSeal, previous: AuditSeal | None) -> None:
    """Entries in the seal's range now, against those that it was made of."""
    sealed = digest.read_manifest(bytes(seal.manifest))
    after_id = previous.up_to_id if previous else None
    # A few more than sealed are enough to see that something was added; a million need not be read.
    limit = len(sealed) + MOST_NAMED
    found = dict(sealing.read_entries(after_id, seal.up_to_id, limit=limit))
    seen_to = max(found) if len(found) == limit else seal.up_to_id
    changed = [id_ for id_ in sealed if id_ in found and found[id_] != sealed[id_]]
    missing = [id_ for id_ in sealed if id_ not in found and id_ <= seen_to]
    added = [id_ for id_ in found if id_ not in sealed]
    if not (changed or missing or added) and len(sealed) == seal.n_entries:
        return
    words = [
        _("%(what)s: %(ids)s") % {"what": what, "ids": _listed(ids)}
        for what, ids in (
            (_("changed"), changed),
            (_("missing"), missing),
            (_("not there when it was sealed"), added),
        )
        if ids
    ]
    raise Broken(
        _("Seal %(n)s of %(at)s does not fit its entries. %(words)s.")
        % {"n": seal.number, "at": f"{seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC", "words": "; ".join(words)}
    )


def _listed(ids: list[int]) -> str:
    shown = ", ".join(str(id_) for id_ in sorted(ids)[:MOST_NAMED])
    more = len(ids) - MOST_NAMED
    return _("entries %(ids)s and %(n)s more") % {"ids": shown, "n": more} if more > 0 else shown


def _check_anchors(seal: AuditSeal, report: Report) -> None:
    for anchor in [anchor for anchor in report.anchors_left if anchor.number == seal.number]:
        if anchor.hash != seal.hash:
            raise Broken(
                _("Seal %(n)s is another one than was noted: the chain was made anew from there or before.")
                % {"n": seal.number}
            )
        report.anchors_left.remove(anchor)


def _cut_words(anchor: Anchor, last: AuditSeal | None) -> str:
    return _("The noted seal %(n)s is gone: the chain ends with %(found)s, its tail was cut off.") % _named(
        anchor.number, last.number if last else 0
    )


def _count_waiting(report: Report) -> None:
    waiting = AuditEntry.objects.all()
    if report.up_to_id is not None:
        waiting = waiting.filter(pk__gt=report.up_to_id)
    report.n_waiting = waiting.count()
    report.has_long_wait = waiting.filter(at__lt=timezone.now() - LONG_WAIT).exists()
