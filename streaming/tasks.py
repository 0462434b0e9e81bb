"""The worker's half: replays in slices, dead letters sent once more, old rows cleared."""

from datetime import timedelta

import structlog
from celery import shared_task
from confluent_kafka import KafkaException
from django.utils import timezone

from core.lib import live, outbox, paths
from core.lib.errors import ConsoleError, InvalidRequest, NotFound
from streaming import redriving
from streaming.models import DeadLetter, Replay, ReplayState, Window
from streaming.replay_files import FileRefused

log = structlog.get_logger(__name__)

KEPT = timedelta(days=30)
MOST_ATTEMPTS = 100


@shared_task
def send_replay(replay_id: str) -> None:
    """One slice of a replay. When a worker dies on the way its lease ends and another goes on."""
    replay = outbox.claim(Replay, replay_id)
    if replay is None:
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

    return Slice(replay, paths.inside_allowed(replay.source)).run()


def _counted(replay: Replay) -> bool:
    """A worker that died sent more than it noted: Kafka knows how much."""
    from streaming.replaying import n_in_kafka

    replay.n_sent = n_in_kafka(replay)
    replay.save(update_fields=["n_sent"])
    return True


def _settle(replay: Replay, *, is_left: bool) -> None:
    if not is_left:
        _end(replay, ReplayState.DONE)
    elif replay.is_stop_asked:
        _end(replay, ReplayState.STOPPED)
    else:
        replay.delivery_attempts, replay.next_attempt_at = 0, timezone.now()
        replay.save(update_fields=["delivery_attempts", "next_attempt_at"])
        send_replay.delay(str(replay.pk))


def _end(replay: Replay, state: ReplayState, error: str = "") -> None:
    replay.state, replay.error, replay.ended_at = state, error, timezone.now()
    replay.save(update_fields=["state", "error", "ended_at"])
    replay.mark_delivered()
    live.publish("replays", [replay.pk])


@shared_task
def redrive(dead_letter_id: int) -> None:
    """Send one dead letter to its topic again; a task that runs twice sends it once."""
    letter = DeadLetter.objects.select_related("stream").filter(pk=dead_letter_id, redriven_at=None).first()
    if letter is not None and letter.redrive_asked_at is not None:
        redriving.send(letter)
        live.publish("streams", [letter.stream.name])


@shared_task
def redrive_unfinished() -> None:
    """Ask again for those whose task was lost."""
    since = timezone.now() - timedelta(seconds=30)
    waiting = DeadLetter.objects.filter(redrive_asked_at__lt=since, redriven_at=None)
    for pk in waiting.values_list("pk", flat=True)[:100]:
        redrive.delay(pk)


@shared_task
def clear_old() -> None:
    """Windows and dead letters that nobody touched for a month go."""
    before = timezone.now() - KEPT
    Window.objects.filter(updated_at__lt=before).delete()
    DeadLetter.objects.filter(at__lt=before).delete()
