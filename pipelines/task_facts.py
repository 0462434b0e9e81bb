"""What Airflow alone knows of a task: tries, rendered fields, XComs. Texts too long are cut, and say so.

However many look at a task, Airflow is asked once in some seconds (`core.lib.shared`). Web processes load its
client for the first of these only.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.lib import shared
from core.lib.errors import (
    Conflict,
    ConsoleError,
    InvalidRequest,
    NotFound,
    StillAtWork,
    Unauthorized,
    Unavailable,
)
from pipelines import params, queries
from pipelines.airflow_auth import SERVICE
from pipelines.log_lines import clean
from pipelines.models import Run, TaskInstance
from pipelines.task_answers import TaskAbout, TaskTry

LONGEST_TEXT = 20_000
REST_WAIT_S = 5.0  # for what somebody else asks already
FAULTS: dict[str, type[ConsoleError]] = {
    kind.__name__: kind for kind in (NotFound, Conflict, InvalidRequest, Unauthorized, Unavailable)
}


@dataclass(frozen=True)
class Text:
    """A value in words. n_cut: characters left out at its end; is_too_large: it was not read at all.

    trouble: why it could not be read.
    """

    name: str
    words: str
    n_cut: int = 0
    is_too_large: bool = False
    trouble: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Box:
    """What a box of the page shows. trouble: why there is nothing; fault: of what kind that is.

    is_coming: Airflow is being asked, and this is what it said before, if anything.
    start, n_all: of several pages of texts, how many are before these, and how many there are.
    """

    texts: list[Text] = field(default_factory=list)
    tries: list[TaskTry] = field(default_factory=list)
    about: TaskAbout | None = None
    trouble: str = ""
    fault: str = ""
    is_coming: bool = False
    start: int = 0
    n_all: int = 0

    @property
    def end(self) -> int:
        """How many texts there are up to the last of these."""
        return self.start + len(self.texts)

    @property
    def next_start(self) -> int | None:
        """Where the next page starts; None after the last."""
        return self.end if self.texts and self.end < self.n_all else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show yet."""
        return self.is_coming and not (self.texts or self.tries or self.about or self.trouble)


def tries(run: Run, task_id: str, map_index: int) -> list[TaskTry]:
    """Raises what the gateway raises, as do the others, and StillAtWork where Airflow takes long."""
    return _told("tries", run, task_id, map_index).tries


def xcoms(run: Run, task_id: str, map_index: int, start: int = 0) -> Box:
    """A page of them by key, after so many."""
    return _told("xcom", run, task_id, map_index, start)


def about(run: Run, task_id: str, map_index: int) -> TaskAbout:
    """How it is written and where it ran, with its note and its links."""
    found = _told("details", run, task_id, map_index).about
    assert found is not None, "a box without a fault has what was asked"
    return found


def rendered(run: Run, task_id: str, map_index: int) -> list[Text]:
    """By field."""
    return _told("rendered", run, task_id, map_index).texts


def for_page(show: str, run: Run, task_id: str, map_index: int, start: int = 0) -> Box:
    """The box, of XComs after so many; when Airflow is in the way it says so, and the page stands.

    It waits for nobody else who asks: such a box is coming. Raises NotFound for a task that the run does not
    have.
    """
    return _shared(show, run, queries.task_instance(run, task_id, map_index), start)


def _told(show: str, run: Run, task_id: str, map_index: int, start: int = 0) -> Box:
    box = _shared(show, run, queries.task_instance(run, task_id, map_index), start, wait_s=REST_WAIT_S)
    if box.is_coming:
        raise StillAtWork(_("Airflow is being asked for this already. Ask again in a moment."))
    if box.fault:
        raise FAULTS[box.fault](box.trouble, service=SERVICE)
    return box


def _shared(show: str, run: Run, task: TaskInstance, start: int, *, wait_s: float = 0.0) -> Box:
    """What anybody was told of this try lately; of another state of it Airflow has more to tell.

    In the asker's language, for what is wrong is told in words.
    """
    what = f"{show}+{start}" if start else show
    name = f"task:{run.pk}:{task.task_id}:{task.map_index}:{task.try_number}:{what}:{get_language()}"
    kept = shared.once(name, partial(_asked, show, run, task, start), mark=task.state, wait_s=wait_s)
    if kept is None:
        return Box(is_coming=True)
    return replace(msgspec.json.decode(kept.text, type=Box), is_coming=not kept.is_fresh)


def _asked(show: str, run: Run, task: TaskInstance, start: int) -> str:
    """Also what went wrong is told to all: Airflow would be asked no less where it fails."""
    ask = partial(_xcoms, start=start) if show == "xcom" else ASKED.get(show, _rendered)
    try:
        box = ask(
            {"dag_id": run.dag_id, "dag_run_id": run.dag_run_id, "task_id": task.task_id}, task.map_index
        )
    except ConsoleError as error:
        fault = next((name for name, kind in FAULTS.items() if isinstance(error, kind)), Unavailable.__name__)
        box = Box(trouble=error.message, fault=fault)
    return msgspec.json.encode(box).decode()


def _tries(task: dict[str, str], map_index: int) -> Box:
    return Box(tries=_airflow().task_tries(**task, map_index=map_index))


def _about(task: dict[str, str], map_index: int) -> Box:
    return Box(about=_with_usable_links(_airflow().task_about(**task, map_index=map_index)))


def _with_usable_links(found: TaskAbout) -> TaskAbout:
    """Those of web pages alone: an operator may give any text. Airflow's own may be without its host."""
    usable = []
    for link in found.links:
        is_own = link.url.startswith("/") and not link.url.startswith("//")
        url = settings.CONSOLE_AIRFLOW_PUBLIC_URL + link.url if is_own else link.url
        if _is_of_web(url):
            usable.append(replace(link, url=url))
    return replace(found, links=usable)


def _is_of_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"}
    except ValueError:  # of a host that cannot be, as "https://[see log"
        return False


def _xcoms(task: dict[str, str], map_index: int, *, start: int) -> Box:
    found = _airflow().xcoms(**task, map_index=map_index, start=start)
    texts = [
        Text(one.key, "", trouble=one.trouble, at=one.at)
        if one.trouble
        else _text(one.key, one.value, at=one.at)
        for one in found.entries
    ]
    return Box(texts, start=start, n_all=found.n_all)


def _rendered(task: dict[str, str], map_index: int) -> Box:
    found = _airflow().rendered_fields(**task, map_index=map_index)
    if found is None:
        return Box([_text("", None)])
    return Box([_text(name, params.in_words(value)) for name, value in sorted(found.items())])


ASKED: dict[str, Callable[[dict[str, str], int], Box]] = {"tries": _tries, "details": _about}


def _airflow() -> Any:
    from pipelines import gateway

    return gateway.connect()


def _text(name: str, value: str | None, at: datetime | None = None) -> Text:
    if value is None:
        return Text(name, "", is_too_large=True, at=at)
    return Text(name, clean(value[:LONGEST_TEXT]), n_cut=max(len(value) - LONGEST_TEXT, 0), at=at)
