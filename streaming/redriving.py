"""A dead letter, sent to its topic once more: the bytes come from the row or from the dead topic.

It bears the headers of the message, as far as they are kept, and of ours one that says what it was, and one
that says how many are not kept.
"""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, NotFound
from streaming import event_topics, gateway, ledger
from streaming.exactly_once import Outgoing, Sender, forget
from streaming.models import DeadLetter


def send(letter: DeadLetter) -> None:
    """Send it, once in spite of crashes and of others who send it too, and note that it is sent.

    Raises ConsoleError and KafkaException; can be called again after either.
    """
    name = f"redrive-{letter.pk}"
    event_topics.ensure(letter.stream)
    with Sender(name, letter.topic) as sender:
        is_in_kafka = sender.next_number() > 0
        letter.refresh_from_db(fields=["redriven_at"])  # after the number: see Sender
        if not is_in_kafka and letter.redriven_at is None:
            message = _outgoing(letter)._replace(partition=_partition(letter, sender))
            sender.send([message], next_number=1)
    with transaction.atomic():
        letter.redriven_at = letter.redriven_at or timezone.now()
        letter.save(update_fields=["redriven_at"])
        letter.mark_delivered()
    forget(name)  # the number may go only once the row says the same


def _partition(letter: DeadLetter, sender: Sender) -> int | None:
    """Where it lay, whatever chose that: there the key's other messages are, and a null value deletes them.

    None for a topic made anew, of which nobody knows how its senders choose.
    """
    is_same = letter.topic_id == letter.stream.topic_id
    return letter.partition if is_same and sender.has_partition(letter.partition) else None


def _outgoing(letter: DeadLetter) -> Outgoing:
    value, headers = _kept(letter)
    about: dict[str, object] = {"redriven": f"{letter.partition}:{letter.offset}"}
    if letter.n_headers_left_out:
        about["headers_left_out"] = letter.n_headers_left_out
    key = None if letter.key is None else bytes(letter.key)
    return Outgoing(value=value, key=key, headers=[*headers, *ledger.ours(about)])


def refuse_cut(letter: DeadLetter) -> None:
    """Raises Conflict for a letter of which only a part is kept: half a message is another one.

    The whole would be no help: no stream reads an event of that size.
    """
    if letter.is_cut:
        words = {"topic": letter.topic, "place": f"{letter.partition}:{letter.offset}"}
        raise Conflict(
            _(
                "Only the beginning of this message is kept, so it cannot be sent again. The whole lies at "
                "%(place)s of %(topic)s as long as that topic keeps it; no stream reads events of that size."
            )
            % words
        )


def _message(letter: DeadLetter) -> gateway.Read | None:
    """The message where it lay; None when it is gone, or the topic is another one of the same name."""
    kafka = gateway.connect()
    if letter.dead_partition is None or letter.dead_offset is None:
        is_same = letter.topic_id == letter.stream.topic_id
        return kafka.message(letter.topic, letter.partition, letter.offset) if is_same else None
    found = kafka.message(letter.stream.dead_topic, letter.dead_partition, letter.dead_offset)
    return found if found is not None and _is_of(letter, dict(found.headers)) else None


def _is_of(letter: DeadLetter, headers: dict[str, bytes | None]) -> bool:
    """Whether a message of the dead topic is this letter. Earlier releases wrote the bare names."""
    prefix = ledger.OUR_HEADERS if f"{ledger.OUR_HEADERS}offset" in headers else ""
    place = {"partition": letter.partition, "offset": letter.offset}
    return all(headers.get(f"{prefix}{name}") == str(value).encode() for name, value in place.items())


def _kept(letter: DeadLetter) -> tuple[bytes | None, list[tuple[str, bytes | None]]]:
    """The value and the message's own headers, from the row or from where the message lies."""
    headers = ledger.headers_of(letter).kept
    if letter.is_null:
        return None, headers
    if letter.payload is not None:
        return bytes(letter.payload), headers
    message = _message(letter)
    if message is None:
        raise NotFound(_("Kafka no longer holds the message: it grew too old, or the topic was deleted."))
    is_in_dead_topic = letter.dead_offset is not None
    return message.value, _theirs(message) if is_in_dead_topic and letter.headers is None else headers


def _theirs(dead: gateway.Read) -> list[tuple[str, bytes | None]]:
    """The message's own; none where all are ours, under the bare names of earlier releases."""
    theirs: list[tuple[str, bytes | None]] = [
        (name, value) for name, value in dead.headers if not name.startswith(ledger.OUR_HEADERS)
    ]
    return theirs if len(theirs) < len(dead.headers) else []
