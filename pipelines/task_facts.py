"""What Airflow alone knows of a task: tries, rendered fields, XComs. Texts too long are cut, and say so.

Web processes load Airflow's client for the first of these only.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.lib.errors import ConsoleError
from pipelines import params, queries
from pipelines.answers import TaskTry
from pipelines.log_lines import clean
from pipelines.models import Run

LONGEST_TEXT = 20_000


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
    at: Any = None


@dataclass(frozen=True)
class Box:
    """What a box of the page shows. trouble: why there is nothing."""

    texts: list[Text] = field(default_factory=list)
    tries: list[TaskTry] = field(default_factory=list)
    trouble: str = ""


def tries(run: Run, task_id: str, map_index: int) -> list[TaskTry]:
    """Raises what the gateway raises, as do the others."""
    task = queries.task_instance(run, task_id, map_index)
    return _airflow().task_tries(run.dag_id, run.dag_run_id, task.task_id, map_index=map_index)


def xcoms(run: Run, task_id: str, map_index: int) -> list[Text]:
    """By key."""
    task = queries.task_instance(run, task_id, map_index)
    found = _airflow().xcoms(run.dag_id, run.dag_run_id, task.task_id, map_index=map_index)
    return [
        Text(one.key, "", trouble=one.trouble, at=one.at)
        if one.trouble
        else _text(one.key, one.value, at=one.at)
        for one in found
    ]


def rendered(run: Run, task_id: str, map_index: int) -> list[Text]:
    """By field."""
    task = queries.task_instance(run, task_id, map_index)
    found = _airflow().rendered_fields(run.dag_id, run.dag_run_id, task.task_id, map_index=map_index)
    if found is None:
        return [_text("", None)]
    return [_text(name, params.in_words(value)) for name, value in sorted(found.items())]


def for_page(show: str, run: Run, task_id: str, map_index: int) -> Box:
    """The box; when Airflow is in the way it says so, and the rest of the page stands.

    Raises NotFound for a task that the run does not have.
    """
    queries.task_instance(run, task_id, map_index)
    try:
        if show == "tries":
            return Box(tries=tries(run, task_id, map_index))
        tell: Callable[[Run, str, int], list[Text]] = xcoms if show == "xcom" else rendered
        return Box(texts=tell(run, task_id, map_index))
    except ConsoleError as error:
        return Box(trouble=error.message)


def _airflow() -> Any:
    from pipelines import gateway

    return gateway.connect()


def _text(name: str, value: str | None, at: Any = None) -> Text:
    if value is None:
        return Text(name, "", is_too_large=True, at=at)
    return Text(name, clean(value[:LONGEST_TEXT]), n_cut=max(len(value) - LONGEST_TEXT, 0), at=at)
