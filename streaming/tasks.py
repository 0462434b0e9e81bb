"""The worker's half: replays in slices, dead letters sent once more, old rows cleared."""

import structlog
from celery import shared_task
from confluent_kafka import KafkaException
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from core.lib import live, outbox, paths, retention
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from streaming import loops, redriving
from streaming.exactly_once import in_words, is_denied, is_never_taken
from streaming.models import Anomaly, DeadLetter, DeadTally, Replay, ReplayState, Window
from streaming.replay_files import FileRefused

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 100  # of a replay, and of a dead letter that is sent again: more than an hour of them


@shared_task
def send_replay(replay_id: str) -> None:
    """One slice of a replay. When a worker dies on the way its lease ends and another goes on."""
    replay = outbox.claim(Replay, replay_id)
    if replay is None:
        return
    if not replay.is_open:  # ended by a worker that died before it could say so
        replay.mark_delivered()
        return
    if replay.is_stop_asked and replay.state == ReplayState.REQUESTED:
        _end(replay, ReplayState.STOPPED)
        return
    if replay.state == ReplayState.REQUESTED:
        replay.state, replay.started_at = ReplayState.RUNNING, timezone.now()
        replay.save(update_fields=["state", "started_at"])
    try:
        is_left = _counted(replay) if replay.is_stop_asked else _slice(replay)
    except (FileRefused, NotFound, InvalidRequest) as error:
        _end(replay, ReplayState.FAILED, str(error))
    except (KafkaException, ConsoleError) as error:
        log.warning("replay.waits", replay=replay.pk, error=str(error))
        if replay.delivery_attempts >= MOST_ATTEMPTS:
            _end(replay, ReplayState.FAILED, str(error))
        else:
            replay.mark_retry(str(error))
    else:
        _settle(replay, is_left=is_left)


def _slice(replay: Replay) -> bool:
    from streaming.replaying import Slice  # the web process imports this module and needs none of it

    with outbox.kept(replay):  # to read a file of gigabytes up to its next line may take longer than a lease
        return Slice(replay, paths.inside_allowed(replay.source)).run()


def _counted(replay: Replay) -> bool:
    """A worker that died sent more than it noted: Kafka knows how much."""
    from streaming.replaying import n_in_kafka

    replay.n_sent = max(replay.n_sent, n_in_kafka(replay))
    replay.save(update_fields=["n_sent"])
    return True


def _settle(replay: Replay, *, is_left: bool) -> None:
    if not is_left:
        _end(replay, ReplayState.DONE)
    elif replay.is_stop_asked:
        _end(replay, ReplayState.STOPPED)
    else:
        again = {"delivery_attempts": 0, "next_attempt_at": timezone.now()}
        if Replay.objects.filter(pk=replay.pk, state=ReplayState.RUNNING).update(**again):
            send_replay.delay(str(replay.pk))


def _end(replay: Replay, state: ReplayState, error: str = "") -> None:
    from streaming.replaying import forget_number

    with transaction.atomic():
        replay.state, replay.error, replay.ended_at = state, error, timezone.now()
        replay.save(update_fields=["state", "error", "ended_at"])
        replay.mark_delivered()
    live.publish("replays", [replay.pk])
    if replay.started_at is not None:  # else it has no number
        forget_number(replay)


@shared_task
def redrive(dead_letter_id: int) -> None:
    """Send one dead letter to its topic again. It ends sent, or refused with the reason."""
    letter = outbox.claim(DeadLetter, dead_letter_id)
    if letter is None:
        return
    try:
        redriving.refuse_cut(letter)
        redriving.send(letter)
    except (NotFound, InvalidRequest, Conflict) as error:
        letter.mark_refused(error.message)
    except (KafkaException, ConsoleError) as error:
        log.warning("redrive.waits", letter=letter.pk, error=str(error))
        if _is_in_vain(error) or letter.delivery_attempts >= MOST_ATTEMPTS:
            letter.mark_refused(in_words(error))
        else:
            letter.mark_retry(in_words(error))
    live.publish("streams", [letter.stream.name])


def _is_in_vain(error: KafkaException | ConsoleError) -> bool:
    return is_denied(error) or (isinstance(error, KafkaException) and is_never_taken(error))


@shared_task
def clear_old() -> None:
    """Windows, dead letters and anomalies that nobody touched for long go, and replays that ended then."""
    before = retention.before("CONSOLE_STREAMS_KEEP_DAYS")
    if before is None:
        return
    retention.clear(Window.objects.filter(updated_at__lt=before))
    # The row of a letter that waits for its topic has the only copy of the message.
    is_waiting = Q(is_sent=False, send_error="", stream__has_dead_topic=True)
    retention.clear(DeadLetter.objects.filter(at__lt=before).exclude(is_waiting))
    retention.clear(DeadTally.objects.filter(last_at__lt=before))
    retention.clear(Anomaly.objects.filter(at__lt=before))
    retention.clear(Replay.objects.filter(ended_at__lt=before))
    loops.DEAD_LETTERS.rows().filter(last_at__lt=before).delete()
