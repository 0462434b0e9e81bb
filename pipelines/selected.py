"""One thing done to several runs: what would become of each, then each its own fate, audited one by one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.access import policy
from core.access.models import User
from core.lib.errors import ConsoleError, InvalidRequest
from core.lib.ids import uuid7
from pipelines import queries, run_changes
from pipelines.models import Pipeline, Run
from pipelines.states import TASK_ENDED, TASK_FAILED, TASK_OVER

CLEAR_FAILED, CLEAR, CANCEL, MARK_SUCCESS, MARK_FAILED = ALL = (
    "clear-failed",
    "clear",
    "cancel",
    "mark-success",
    "mark-failed",
)
MOST = 100


@dataclass(frozen=True)
class Item:
    """A run with what would happen to it, or why nothing can (`refused`)."""

    run: Run
    words: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Selection:
    """what: one of ALL."""

    what: str
    items: list[Item]

    @property
    def n_possible(self) -> int:
        """How many runs it would touch, or has touched."""
        return sum(not item.refused for item in self.items)

    @property
    def is_harsh(self) -> bool:
        """Whether it stops what is under way."""
        goes_on = any(not item.refused and not item.run.has_ended for item in self.items)
        return self.what in {CANCEL, MARK_FAILED} or (self.what == CLEAR and goes_on)

    @property
    def title(self) -> str:
        """As a heading."""
        return {
            CLEAR_FAILED: _("Run failed tasks of these runs again"),
            CLEAR: _("Run all tasks of these runs again"),
            CANCEL: _("Cancel these runs"),
            MARK_SUCCESS: _("Mark these runs as successful"),
            MARK_FAILED: _("Mark these runs as failed"),
        }[self.what]

    @property
    def button(self) -> str:
        """What the confirmation says."""
        n = self.n_possible
        words = {
            CLEAR_FAILED: ngettext(
                "Run failed tasks of %(n)d run again", "Run failed tasks of %(n)d runs again", n
            ),
            CLEAR: ngettext("Run all tasks of %(n)d run again", "Run all tasks of %(n)d runs again", n),
            CANCEL: ngettext("Cancel %(n)d run", "Cancel %(n)d runs", n),
            MARK_SUCCESS: ngettext("Mark %(n)d run as successful", "Mark %(n)d runs as successful", n),
            MARK_FAILED: ngettext("Mark %(n)d run as failed", "Mark %(n)d runs as failed", n),
        }
        return words[self.what] % {"n": n}

    @property
    def ids(self) -> str:
        """Numbers of the runs, for an address."""
        return ",".join(str(item.run.pk) for item in self.items)


def preview(what: str, run_ids: Iterable[int], *, by: User) -> Selection:
    """What would become of each run, by the rows as they are. Raises InvalidRequest for another word."""
    policy.check(by, "pipelines.run", what)
    return Selection(_known(what), [_told(what, *one) for one in _counted(run_ids)])


def apply(what: str, run_ids: Iterable[int], *, by: User) -> Selection:
    """Do it to each run on its own; what cannot be done to one stops no other. Raises InvalidRequest."""
    policy.check(by, "pipelines.run", what)
    act, batch = _ACTS[_known(what)], str(uuid7())
    items = []
    for run, counts in _counted(run_ids):
        told = _told(what, run, counts)
        if not told.refused:
            try:
                told = Item(act(run.pk, by, batch))
            except ConsoleError as error:
                told = Item(run, refused=error.message)
        items.append(told)
    return Selection(what, items)


_ACTS: dict[str, Callable[[int, User, str], Run]] = {
    CLEAR_FAILED: lambda pk, by, batch: run_changes.clear_run(pk, by=by, only_failed=True, batch=batch),
    CLEAR: lambda pk, by, batch: run_changes.clear_run(pk, by=by, batch=batch),
    CANCEL: lambda pk, by, batch: run_changes.cancel_run(pk, by=by, batch=batch),
    MARK_SUCCESS: lambda pk, by, batch: run_changes.mark_run(pk, "success", by=by, batch=batch),
    MARK_FAILED: lambda pk, by, batch: run_changes.mark_run(pk, "failed", by=by, batch=batch),
}


def _known(what: str) -> str:
    if what not in ALL:
        message = _("Give one of these: %(choices)s.") % {"choices": ", ".join(ALL)}
        raise InvalidRequest(message, errors=[{"field": "what", "message": message}])
    return what


class _Counts(NamedTuple):
    """Of a run's tasks: those that failed, those that have not ended, those that its end would stop, all."""

    n_failed: int
    n_open: int
    n_stopped: int
    n: int


def _counted(run_ids: Iterable[int]) -> list[tuple[Run, _Counts]]:
    """At most MOST, newest first."""
    found = queries.runs().filter(pk__in=list(run_ids)).select_related("requested_by")
    is_over = Q(task_instances__state__in=TASK_OVER)
    is_left = _is_teardown(set(found.order_by().values_list("dag_id", flat=True)))
    found = found.annotate(
        n_failed=Count("task_instances", filter=Q(task_instances__state__in=TASK_FAILED)),
        n_open=Count("task_instances", filter=~Q(task_instances__state__in=TASK_ENDED)),
        n_stopped=Count("task_instances", filter=~is_over & ~is_left),
        n_tasks=Count("task_instances"),
    )
    return [(run, _Counts(run.n_failed, run.n_open, run.n_stopped, run.n_tasks)) for run in found[:MOST]]


def _is_teardown(dag_ids: set[str]) -> Q:
    """Whether a task is a teardown, as the newest versions of these pipelines have it."""
    found = Q(pk__in=[])
    for dag_id, nodes in Pipeline.objects.filter(pk__in=dag_ids).values_list("dag_id", "tasks"):
        if names := queries.teardowns(nodes):
            found |= Q(dag_id=dag_id, task_instances__task_id__in=names)
    return found


def _told(what: str, run: Run, counts: _Counts) -> Item:
    if what == CANCEL:
        words = ngettext(
            "%(n)d task under way or to come is stopped",
            "%(n)d tasks under way or to come are stopped",
            counts.n_stopped,
        )
        return (
            Item(run, words % {"n": counts.n_stopped})
            if run.can_cancel
            else Item(run, refused=run_changes.already(run))
        )
    if not run.can_change or run.state == what.removeprefix("mark-"):
        return Item(run, refused=run_changes.already(run))
    if what not in {CLEAR_FAILED, CLEAR}:
        words = ngettext(
            "the run gets the state; %(n)d task that has not ended is stopped",
            "the run gets the state; %(n)d tasks that have not ended are stopped",
            counts.n_stopped,
        )
        return Item(run, words % {"n": counts.n_stopped})
    if what == CLEAR_FAILED and not counts.n_failed:
        return Item(run, refused=_("None of its tasks failed."))
    n = counts.n_failed if what == CLEAR_FAILED else counts.n
    words = ngettext("%(n)d task runs again", "%(n)d tasks run again", n) % {"n": n}
    if what == CLEAR and counts.n_open and not run.has_ended:
        words = _("%(words)s; what is under way is stopped") % {"words": words}
    return Item(run, words)
