"""A dead letter, sent to its topic once more: the bytes come from the row or from the dead topic."""

from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import NotFound
from streaming import gateway
from streaming.exactly_once import Outgoing, Sender, forget
from streaming.models import DeadLetter


def send(letter: DeadLetter) -> None:
    """Raises ConsoleError and KafkaException; can be called again after either."""
    name = f"redrive-{letter.pk}"
    message = Outgoing(
        value=_value(letter),
        key=None if letter.key is None else bytes(letter.key),
        headers=[("redriven", f"{letter.partition}:{letter.offset}".encode())],
    )
    with Sender(name, letter.topic) as sender:
        if sender.next_number() == 0:
            sender.send([message], next_number=1)
    letter.redriven_at = timezone.now()
    letter.save(update_fields=["redriven_at"])
    forget(name)


def _message(letter: DeadLetter) -> gateway.Read | None:
    """The message where it lay; None when it is gone, or the topic is another one of the same name."""
    kafka = gateway.connect()
    if letter.dead_partition is None or letter.dead_offset is None:
        is_same = letter.topic_id == letter.stream.topic_id
        return kafka.message(letter.topic, letter.partition, letter.offset) if is_same else None
    found = kafka.message(letter.stream.dead_topic, letter.dead_partition, letter.dead_offset)
    place = {"partition": str(letter.partition).encode(), "offset": str(letter.offset).encode()}
    return found if found is not None and place.items() <= dict(found.headers).items() else None


def _value(letter: DeadLetter) -> bytes | None:
    if letter.is_null:
        return None
    if letter.payload is not None:
        return bytes(letter.payload)
    message = _message(letter)
    if message is None:
        raise NotFound(_("Kafka no longer holds the message: it grew too old, or the topic was deleted."))
    return message.value
