"""A dead letter, sent to its topic once more: the bytes come from the row or from the dead topic."""

from django.utils import timezone
from django.utils.translation import gettext as _

from console.lib.errors import NotFound
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


def _value(letter: DeadLetter) -> bytes | None:
    if letter.is_null:
        return None
    if letter.payload is not None:
        return bytes(letter.payload)
    kafka = gateway.connect()
    if letter.dead_partition is not None and letter.dead_offset is not None:
        message = kafka.message(letter.stream.dead_topic, letter.dead_partition, letter.dead_offset)
    else:
        message = kafka.message(letter.topic, letter.partition, letter.offset)
    if message is None:
        raise NotFound(_("Kafka no longer holds the message: it is older than its topic keeps messages."))
    return message.value
