"""What an application needs besides its parameters: access to a service, or files from the console.

An application names its needs; nothing else is given to its driver. How a service is reached goes into
`access.json` of the job's folder, which only this user reads and which goes when the job ends: passwords are
neither on a command line nor in the environment, which every process of the job would inherit.

Apps above this one register what they alone can give.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import topic_days, topics
from core.lib.errors import InvalidRequest, Unavailable
from jobs import gateway
from jobs.applications import Application
from jobs.spark_apps import kafka

Params = Mapping[str, Any]


def _no_check(_params: Params, _by: User) -> None:
    return None


def _no_access() -> dict[str, Any]:
    return {}


def _no_files(_params: Params, _folder: Path) -> None:
    return None


@dataclass(frozen=True)
class Supply:
    """check: raises InvalidRequest or Denied before a job is queued. access: how a service is reached.
    write: puts files into a folder before the driver starts, perhaps again; raises ConsoleError.
    """

    check: Callable[[Params, User], None] = _no_check
    access: Callable[[], dict[str, Any]] = _no_access
    write: Callable[[Params, Path], None] = _no_files


_registered: dict[str, Supply] = {}


def register(name: str, supply: Supply) -> None:
    """Let applications need this; called in `AppConfig.ready`."""
    _registered[name] = supply


def of(application: Application) -> dict[str, Supply]:
    """What the application needs, by name."""
    return {name: _registered[name] for name in application.needs}


def mlflow_access() -> dict[str, str]:
    """The variables that MLflow's client reads."""
    said = {
        "MLFLOW_TRACKING_URI": settings.CONSOLE_MLFLOW_URL,
        "MLFLOW_TRACKING_USERNAME": settings.CONSOLE_MLFLOW_USERNAME,
        "MLFLOW_TRACKING_PASSWORD": settings.CONSOLE_MLFLOW_PASSWORD,
    }
    return {name: value for name, value in said.items() if value}


# --- Kafka

DEAD = "dead"
DEAD_BYTES = 2 * 1024 * 1024


def kafka_access() -> dict[str, str]:
    """Options of Spark's source and sink. Raises InvalidRequest for settings that have no such words."""
    try:
        return kafka.options(settings.CONSOLE_KAFKA_BOOTSTRAP, settings.CONSOLE_KAFKA_CONFIG)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def check_topics(params: Params, by: User) -> None:
    """Refuse a topic that is not the user's to read, or that only the console writes to."""
    kafka_access()
    if not gateway.connector_jars():
        raise InvalidRequest(
            _("Spark's jars for Kafka are not there: set CONSOLE_SPARK_JARS to their folder.")
        )
    topic, sink, there = params["topic"], params["sink_topic"], _there()
    if topics.scope_of(topic) or topic in topics.KAFKAS_OWN or _is_of_dead_letters(topic, there):
        raise _fault("topic", _("This topic is the console's own, or holds dead letters: name another."))
    policy.check(by, "messages.read", topic)
    there = there or set()
    _require_apart("topic", topic, there)
    if not sink:
        return
    mine = {topic, *(topics.side_topic_name(topic, DEAD, mark) for mark in (".", "-"))}
    if topics.is_registered(sink) or sink in topics.KAFKAS_OWN or sink in mine:
        raise _fault("sink_topic", _("The console or this job writes or reads this topic: name another."))
    _require_apart("sink_topic", sink, there if sink in there else there | mine)


def make_topics(params: Params, folder: Path) -> None:
    """The topics that the job writes to; the driver is told what that of dead letters is called.

    Raises Unavailable when Kafka does not answer.
    """
    dead = topic_days.ensure_beside(params["topic"], DEAD, max_bytes=DEAD_BYTES)
    if params["sink_topic"]:
        topics.ensure([topics.Topic(params["sink_topic"])])
    (folder / kafka.DEAD_TOPIC_FILE).write_text(dead)


def _there() -> set[str] | None:
    """All topics; None while Kafka is away: the job says later what it met."""
    try:
        return topics.names()
    except Unavailable:
        return None


def _is_of_dead_letters(topic: str, there: set[str] | None) -> bool:
    """A name alone says nothing: `walking.dead` may be anything where there is no `walking`.

    While Kafka does not say which topics there are, the name has to do.
    """
    beside = topic.removesuffix(f".{DEAD}")
    return beside != topic and (there is None or beside in there or topics.is_registered(topic))


def _require_apart(name: str, topic: str, others: set[str]) -> None:
    """Raises InvalidRequest for a topic that Kafka creates not, beside another one."""
    if topic not in others and (taken := topics.collision(topic, sorted(others))):
        raise _fault(name, topics.collision_in_words(topic, taken))


def _fault(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": f"params.{name}", "message": message}])


MLFLOW = Supply(access=mlflow_access)
KAFKA = Supply(check=check_topics, access=kafka_access, write=make_topics)
