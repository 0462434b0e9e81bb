"""Where a group goes on once its offsets are moved: worked out by partition, before anything is done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from streaming.kafka_types import Partition


@dataclass(frozen=True)
class Goal:
    """What is wanted: "earliest", "latest", "offset", "time" (milliseconds), "shift" by so many offsets."""

    kind: str
    value: int = 0


@dataclass(frozen=True)
class Move:
    """What becomes of one partition. before: None where the group has no offset.

    after: None where it stays as it is, for the reason in `note`; else a note says what differs from the
    wish.
    low, end: the partition holds offsets [low, end); None where Kafka does not tell.
    """

    partition: int
    before: int | None
    after: int | None
    low: int | None
    end: int | None
    note: str = ""

    @property
    def lag_messages(self) -> int | None:
        """How far behind it is then."""
        offset = self.before if self.after is None else self.after
        return None if offset is None or self.end is None else max(0, self.end - offset)


def plan(
    partitions: Iterable[Partition],
    committed: Mapping[int, int],
    goal: Goal,
    at_time: Mapping[int, int],
) -> list[Move]:
    """A move for each partition. An offset that the partition does not hold becomes the nearest that it does.

    at_time: for a goal of that kind, by partition the first offset of that time or later, -1 for none.
    """
    return [_move(one, committed.get(one.number), goal, at_time) for one in partitions]


def before_in_text(moves: Iterable[Move]) -> str:
    """Where the group stands, to be compared: another text for each other place."""
    return " ".join(f"{move.partition}:{'' if move.before is None else move.before}" for move in moves)


def _move(partition: Partition, before: int | None, goal: Goal, at_time: Mapping[int, int]) -> Move:
    low, end = partition.low, partition.high
    place = (partition.number, before)
    if low is None or end is None:
        return Move(*place, None, low, end, nobody_tells())
    match goal.kind:
        case "earliest":
            return Move(*place, low, low, end)
        case "latest":
            return Move(*place, end, low, end)
        case "time":
            return _to_time(place, at_time.get(partition.number), low, end)
        case "shift" if before is None:
            return Move(*place, None, low, end, _("The group has no offset here that could be shifted."))
    wanted = goal.value if goal.kind == "offset" else (before or 0) + goal.value
    return Move(*place, min(max(wanted, low), end), low, end, _clamped(wanted, low, end))


def _to_time(place: tuple[int, int | None], found: int | None, low: int, end: int) -> Move:
    if found is None:
        return Move(*place, None, low, end, nobody_tells())
    if found < 0:
        return Move(*place, end, low, end, _("No message is so new: it goes on at the end."))
    return Move(*place, found, low, end)


def nobody_tells() -> str:
    """Why nothing is done with a partition of which an end is not known."""
    return _("Kafka does not tell: nobody leads the partition now.")


def _clamped(wanted: int, low: int, end: int) -> str:
    if wanted < low:
        return _("The first message there is has offset %(low)d.") % {"low": low}
    return _("The partition ends at %(end)d.") % {"end": end} if wanted > end else ""
