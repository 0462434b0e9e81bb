"""The click's half: define, change and delete streams, re-drive dead letters, start and stop replays."""

from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib import edge, json_bodies, live, paths, topics
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from core.lib.made_once import made_once
from streaming import anomalies, names, reading, redriving, replay_files, tasks
from streaming import definition as definitions
from streaming.models import DeadLetter, Replay, ReplayState, Stream
from streaming.removal import remove_demo as remove_demo
from streaming.removal import remove_demo_predictions as remove_demo_predictions

SCOPE = "streams.edit"
MOST_STREAMS = 50
MOST_OPEN_REPLAYS = 4


def create_stream(*, name: str, topic: str, definition: Any, description: str = "", by: User) -> Stream:
    """Define a stream; the aggregator begins with the topic's first message within seconds."""
    policy.check(by, SCOPE, name)
    reading.not_kafkas_own(topic)
    checked = _checked(definition)
    if Stream.objects.count() >= MOST_STREAMS:
        raise Conflict(_("There are %(n)d streams; delete one first.") % {"n": MOST_STREAMS})
    if taken := names.collision(topic):
        raise _invalid("topic", topics.collision_in_words(topic, taken))
    try:
        with transaction.atomic():
            stream = Stream.objects.create(
                name=name, topic=topic, definition=definition, description=description, created_by=by
            )
            record("stream.create", stream, by=by, after={"topic": topic, "definition": definition})
            live.publish("streams", [name])
    except IntegrityError as error:
        message = _("A stream “%(name)s” is there already.") % {"name": name}
        raise Conflict(message) from error
    stream.__dict__["parsed"] = checked
    return stream


@transaction.atomic
def change_stream(name: str, *, by: User, **changes: Any) -> Stream:
    """Change `definition` or `description`. Windows of another shape begin anew; nothing is counted twice.

    Another anomaly rule judges what is counted from then on.
    """
    policy.check(by, SCOPE, name)
    stream = _held(name)
    before = {key: getattr(stream, key) for key in changes}
    old = stream.usable
    for key, value in changes.items():
        setattr(stream, key, value)
    if "definition" in changes:
        new = _checked(changes["definition"])
        stream.revision += 1
        if old is None or new.shape != old.shape:
            stream.shape = stream.revision
        if old is None or new.anomaly_rule != old.anomaly_rule:
            anomalies.forget(stream, reason=_("The rule was changed."))
        stream.__dict__["parsed"] = new
    stream.save()
    record("stream.change", stream, by=by, before=before, after=changes)
    live.publish("streams", [name])
    return stream


@transaction.atomic
def delete_stream(name: str, *, by: User) -> None:
    """Delete a stream with its windows, dead letters and anomalies; the topics stay."""
    policy.check(by, SCOPE, name)
    stream = _held(name)
    if stream.is_builtin:
        raise Conflict(_("“%(name)s” comes with the console and cannot be deleted.") % {"name": name})
    record("stream.delete", stream, by=by, before={"topic": stream.topic, "definition": stream.definition})
    anomalies.forget(stream, reason=_("The stream was deleted."))
    stream.delete()
    live.publish("streams", [name])


def ask_redrive(name: str, dead_letter_id: int, *, by: User) -> DeadLetter:
    """Have a worker send one dead letter to its topic once more, or again after that was refused."""
    policy.check(by, SCOPE, name)
    with transaction.atomic():
        letter = (
            DeadLetter.objects.select_for_update(of=("self",))
            .select_related("stream")
            .filter(stream__name=name, pk=dead_letter_id)
            .first()
        )
        if letter is None:
            raise NotFound(_("The stream has no dead letter %(id)s.") % {"id": dead_letter_id})
        if letter.redrive_asked_at is not None and not letter.redrive_error:
            raise Conflict(_("Somebody has sent it again already."))
        redriving.refuse_cut(letter)
        letter.redrive_asked_at = letter.next_attempt_at = timezone.now()
        letter.delivery_error, letter.delivery_attempts = "", 0
        wish = ["redrive_asked_at", "next_attempt_at", "delivery_error", "delivery_attempts"]
        letter.save(update_fields=wish)
        record("dead_letter.redrive", letter, by=by, after={"stream": name, "reason": letter.reason})
        tasks.redrive.delay_on_commit(letter.pk)
    return letter


@transaction.atomic
def start_replay(
    *,
    source: str,
    rate: float | None,
    speed: float | None,
    topic: str,
    times: str,
    by: User,
    key: str = "",
) -> Replay:
    """Have a worker send a file of the data or output folder: `rate` events a second, or `speed` × life.

    key: of the call, or empty; `start_replay_once` looks for what an earlier one made.
    """
    policy.check(by, SCOPE, source)
    if (rate is None) == (speed is None):
        raise _invalid("rate", _("Give a rate, or a speed: one of them."))
    try:
        format_ = replay_files.format_of(paths.inside_allowed(source))
    except (replay_files.FileRefused, ConsoleError) as error:
        raise _invalid("source", str(error)) from error
    reading.not_kafkas_own(topic)
    if (
        Replay.objects.filter(state__in=(ReplayState.REQUESTED, ReplayState.RUNNING)).count()
        >= MOST_OPEN_REPLAYS
    ):
        raise Conflict(_("%(n)d replays run already: wait, or stop one.") % {"n": MOST_OPEN_REPLAYS})
    replay = Replay.objects.create(
        source=source,
        topic=topic or format_.topic,
        rate=rate,
        speed=speed,
        times=times,
        idempotency_key=key,
        requested_by=by,
        is_demo=by.is_demo,
    )
    after = {"source": source, "topic": replay.topic, "rate": rate, "speed": speed, "times": times}
    record("replay.start", replay, by=by, after=after)
    tasks.send_replay.delay_on_commit(str(replay.pk))
    live.publish("replays", [replay.pk])
    return replay


def start_replay_once(key: str, *, by: User, **wish: Any) -> tuple[Replay, bool]:
    """`start_replay`, or the replay that the same call with this `Idempotency-Key` made; whether it is new.

    wish: as `start_replay`. Raises what that raises, and InvalidRequest for a key of another call.
    """

    def is_same(replay: Replay) -> bool:
        same = all(getattr(replay, name) == wish[name] for name in ("source", "rate", "speed", "times"))
        return same and wish["topic"] in ("", replay.topic)

    start = partial(start_replay, by=by, key=key, **wish)
    return made_once(Replay.objects.filter(requested_by=by), key, start, is_same=is_same)


@transaction.atomic
def stop_replay(replay_id: int, *, by: User) -> Replay:
    """Have the worker stop after what it is sending; what was sent stays."""
    policy.check(by, SCOPE, replay_id)
    replay = Replay.objects.select_for_update().filter(pk=replay_id).first()
    if replay is None:
        raise NotFound(_("There is no replay %(id)s.") % {"id": replay_id})
    if not replay.is_open:
        raise Conflict(_("The replay has ended."))
    replay.is_stop_asked = True
    replay.save(update_fields=["is_stop_asked"])
    record("replay.stop", replay, by=by, after={"n_sent": replay.n_sent})
    live.publish("replays", [replay.pk])
    return replay


def _held(name: str) -> Stream:
    stream = Stream.objects.select_for_update().filter(name=name).first()
    if stream is None:
        raise NotFound(_("There is no stream “%(name)s”.") % {"name": name})
    return stream


def _checked(definition: Any) -> definitions.Definition:
    if words := json_bodies.fault(definition):
        raise edge.refused("definition", words)
    try:
        return definitions.parse(definition)
    except definitions.DefinitionError as error:
        faults = [{"field": "definition", "message": fault} for fault in error.faults]
        raise InvalidRequest(_("The definition cannot be used."), errors=faults) from error


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": field, "message": message}])
