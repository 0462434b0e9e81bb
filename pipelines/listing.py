"""The list of pipelines: how it is narrowed and ordered, and what each row shows of the pipeline's runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce, JSONObject
from django.db.models.lookups import Exact
from django.http import QueryDict
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.lib import edge
from core.lib.templatetags import numbers
from pipelines.models import ImportFault, Pipeline, Run, duration_of
from pipelines.states import ENDED, NOT_BEGUN, UNDER_WAY, RunState

STRIP: Final = 15
LONG: Final = ("doc_md", "param_list", "tasks")  # what no row of the list shows
SHOWN: Final = {
    "active": _("active"),
    "paused": _("paused"),
    "faulty": _("file has errors"),
    "gone": _("gone"),
}
LAST: Final = {
    "failed": _("failed last"),
    "success": _("succeeded last"),
    "running": _("under way"),
    "never": _("never ran"),
}

_runs = Run.objects.filter(dag_id=OuterRef("pk")).order_by("-created_at", "-pk")
SHOWS_PAUSED = Coalesce("wanted_is_paused", "is_paused")  # as rows show it: `Pipeline.shows_paused`
# A failure that was deleted in Airflow is nobody's to make good; a success has been one all the same.
_last_end = Subquery(
    _runs.filter(state__in=ENDED).exclude(state=RunState.FAILED, gone_at__isnull=False).values("state")[:1]
)


@dataclass(frozen=True)
class Wanted:
    """What the address asks for; each is empty for no matter. show, last: keys of `SHOWN` and `LAST`.

    tags: a pipeline has to have all of them.
    """

    text: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    show: str = ""
    last: str = ""
    order: str = ""

    @classmethod
    def of(cls, given: QueryDict) -> "Wanted":
        """As pages and REST name it."""
        names = ("owner", "show", "last", "order")
        tags = tuple(filter(None, given.getlist("tag")))
        return cls(text=given.get("q", ""), tags=tags, **{name: given.get(name, "") for name in names})

    def check(self) -> None:
        """Raises InvalidRequest for a word that is none of those there are."""
        words = {"show": SHOWN, "last": LAST, "order": ORDER_WORDS}
        for name, known in words.items():
            value = getattr(self, name)
            if value and value not in known:
                message = gettext("“%(value)s” is none of these: %(all)s.")
                raise edge.refused(name, message % {"value": value[:100], "all": ", ".join(known)})

    @property
    def is_narrow(self) -> bool:
        """Whether some pipelines may be left out."""
        return any((self.text, self.tags, self.owner, self.show, self.last))


class Bar(NamedTuple):
    """A run in a strip of small bars."""

    state: str
    duration_s: float | None
    at: datetime
    label: str
    url: str


@dataclass(frozen=True)
class Row:
    """A pipeline with its last runs, oldest first, and how many are at work and waiting."""

    pipeline: Pipeline
    strip: Sequence[Bar]
    n_running: int
    n_queued: int

    @property
    def last(self) -> Bar | None:
        return self.strip[-1] if self.strip else None


def narrowed(wanted: Wanted) -> QuerySet[Pipeline]:
    """Those that fit, by name. Gone ones only when asked for."""
    found = Pipeline.objects.filter(gone_at__isnull=wanted.show != "gone")
    if wanted.text:
        text = wanted.text
        found = found.filter(
            Q(dag_id__icontains=text) | Q(display_name__icontains=text) | Q(description__icontains=text)
        )
    if wanted.tags:
        found = found.filter(tags__contains=list(wanted.tags))
    if wanted.owner:
        found = found.filter(owners__contains=[wanted.owner])
    if wanted.show in {"paused", "active"}:
        found = found.alias(shown_paused=SHOWS_PAUSED).filter(shown_paused=wanted.show == "paused")
    if wanted.show == "faulty":
        found = found.filter(has_import_errors=True)
    return _by_last_run(found, wanted.last)


def with_last_run(found: QuerySet[Pipeline]) -> QuerySet[Pipeline]:
    """last_state: of its newest run, null before the first. n_running: how many are at work now."""
    running = _runs.filter(state=RunState.RUNNING).order_by().values("dag_id").annotate(n=Count("pk"))
    return found.annotate(
        last_state=Subquery(_runs.values("state")[:1]),
        n_running=Coalesce(Subquery(running.values("n")), 0),
    )


def _by_last_run(found: QuerySet[Pipeline], last: str) -> QuerySet[Pipeline]:
    """A run under way does not hide that the one before failed: the last that ended counts."""
    if last in {"failed", "success"}:
        return found.alias(last_end=_last_end).filter(last_end=last)
    if last == "running":
        return found.filter(Exists(_runs.filter(state__in=UNDER_WAY)))
    return found.exclude(Exists(_runs)) if last == "never" else found


_ORDERS: Final[dict[str, Callable[[], Any]]] = {
    "name": lambda: F("dag_id"),
    "last": lambda: Subquery(_runs.values("created_at")[:1]),
    # A switch that is off means no next run, whatever Airflow had planned.
    "next": lambda: Case(When(Exact(SHOWS_PAUSED, False), then=F("next_run_at"))),
    "state": lambda: Case(
        When(last_end=RunState.FAILED, then=Value(0)),
        When(Exists(_runs.filter(state__in=UNDER_WAY)), then=Value(1)),
        When(~Exists(_runs), then=Value(3)),
        default=Value(2),
        output_field=IntegerField(),
    ),
}


ORDER_WORDS: Final = [f"{sign}{name}" for name in _ORDERS for sign in ("", "-")]


def columns(order: str) -> tuple[str, ...]:
    """What a list that is `ordered` so is sorted by."""
    if order not in ORDER_WORDS:
        return ("dag_id",)
    return ("-place" if order.startswith("-") else "place", "dag_id")


def ordered(found: QuerySet[Pipeline], order: str) -> QuerySet[Pipeline]:
    """order: name, last, next or state (failed first), "-" before it for the other way; else by name.

    What has no such time comes last either way.
    """
    falls, name = order.startswith("-"), order.removeprefix("-")
    if name not in _ORDERS:
        return found.order_by("dag_id")
    placed = found.alias(last_end=_last_end).annotate(place=_ORDERS[name]())
    by = F("place").desc(nulls_last=True) if falls else F("place").asc(nulls_last=True)
    return placed.order_by(by, "dag_id")


def rows(pipelines: Sequence[Pipeline]) -> list[Row]:
    """In the same order, with two queries, however many and however long their history."""
    dag_ids = [pipeline.dag_id for pipeline in pipelines]
    bars = strips(dag_ids)
    counts: dict[tuple[str, str], int] = {}
    under_way = Run.objects.filter(dag_id__in=dag_ids, state__in=UNDER_WAY).order_by()
    for dag_id, state, n in under_way.values_list("dag_id", "state").annotate(n=Count("pk")):
        counts[dag_id, state] = n
    return [
        Row(
            pipeline,
            bars.get(pipeline.dag_id, []),
            counts.get((pipeline.dag_id, RunState.RUNNING), 0),
            sum(counts.get((pipeline.dag_id, state), 0) for state in NOT_BEGUN),
        )
        for pipeline in pipelines
    ]


class _Together(Subquery):
    """Its rows in one list of JSON: Django would unpack an array of them one by one."""

    template = "(SELECT jsonb_agg(one) FROM (%(subquery)s) AS rows)"
    output_field = JSONField()


def strips(dag_ids: Iterable[str]) -> dict[str, list[Bar]]:
    """The last runs of each pipeline, oldest first; only those are read, by the index of each pipeline."""
    columns = JSONObject(pk="pk", at="created_at", state="state", begun="started_at", ended="ended_at")
    newest = _Together(_runs.values(one=columns)[:STRIP])
    bars: dict[str, list[Bar]] = {}
    # A page has hundreds of bars: their address is looked up once, and so is how times are written.
    folder = reverse("pipelines:run-detail", args=[0]).removesuffix("0")
    write = numbers.absolutely()
    for dag_id, shown in Pipeline.objects.filter(pk__in=list(dag_ids)).values_list("pk", newest):
        bars[dag_id] = [_bar(one, folder, write) for one in reversed(shown or [])]
    return bars


def _bar(run: Mapping[str, Any], folder: str, write: Callable[[datetime], str]) -> Bar:
    at, started_at, ended_at = (_moment(run[name]) for name in ("at", "begun", "ended"))
    took = duration_of(run["state"], started_at, ended_at)
    duration_s = None if took is None else took.total_seconds()
    return Bar(run["state"], duration_s, at, write(at), f"{folder}{run['pk']}")


def _moment(text: str | None) -> Any:
    """PostgreSQL's JSON has times as text."""
    return None if text is None else datetime.fromisoformat(text)


class _Each(Func):
    """The texts in a list, each in a row of its own."""

    function = "jsonb_array_elements_text"
    output_field = TextField()
    set_returning = True


def facets() -> tuple[list[str], list[str]]:
    """Every tag and every owner in use."""
    shown = Pipeline.objects.filter(gone_at=None).order_by()
    tags, owners = (shown.values_list(_Each(name), flat=True).distinct() for name in ("tags", "owners"))
    return sorted(tags), sorted(owners)


def n_failed_last() -> int:
    """How many pipelines' last run to end has failed."""
    return narrowed(Wanted(last="failed")).count()


def switched(
    dag_ids: Sequence[str], *, is_paused: bool
) -> tuple[list[Pipeline], list[tuple[str, str | Promise]]]:
    """Those of which the switch would move, and the others, each with why it stays."""
    known = Pipeline.objects.in_bulk(dag_ids)
    moved: list[Pipeline] = []
    stays: list[tuple[str, str | Promise]] = []
    for dag_id in dag_ids:
        pipeline = known.get(dag_id)
        if pipeline is None or pipeline.gone_at is not None:
            stays.append((dag_id, _("Airflow no longer has it")))
        elif pipeline.shows_paused == is_paused:
            stays.append((dag_id, _("paused already") if is_paused else _("active already")))
        else:
            moved.append(pipeline)
    return moved, stays


def import_faults() -> QuerySet[ImportFault]:
    """DAG files that Airflow cannot read now, by name."""
    return ImportFault.objects.order_by("filename", "airflow_id")


def with_pipelines(faults: Sequence[ImportFault]) -> list[tuple[ImportFault, list[str]]]:
    """Each with the pipelines that its file held when it could be read last."""
    faulty = Pipeline.objects.filter(has_import_errors=True).exclude(file="")
    known = list(faulty.only("dag_id", "file", "bundle"))
    return [(fault, [row.dag_id for row in known if _is_of(row, fault)]) for fault in faults]


def _is_of(pipeline: Pipeline, fault: ImportFault) -> bool:
    is_other = pipeline.bundle and fault.bundle and pipeline.bundle != fault.bundle
    return not is_other and f"/{fault.filename}".endswith(f"/{pipeline.file}")
