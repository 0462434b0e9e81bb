"""`{% load run_drawings %}`: what the page of a run has by the hundred: rows of tasks, graph, timeline.

Written here and not in templates, which take ten times as long for it: a run of 200 tasks is drawn anew at
each of its changes, for everybody who looks at it. Each text is escaped where it is put in, and what many
share (a state's badge, a word in the reader's language) is made once.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from django import template
from django.template.context import Context
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.lib.templatetags import numbers, ui
from core.lib.templatetags.states import look_of
from pipelines.gantt import Gantt, Row, Try
from pipelines.graph import BOX_H, Box, EdgeLabel, Frame
from pipelines.models import Run, TaskInstance
from pipelines.pictures import ColouredBox, ColouredGraph, Group
from pipelines.run_tasks import TaskRow
from pipelines.unfolding import LONGEST_TEXT, NO_STATE, Unfolded

register = template.Library()


@register.simple_tag(takes_context=True)
def task_rows(
    context: Context,
    rows: Sequence[TaskRow],
    shown: TaskInstance | None,
    unfolded: Unfolded | None = None,
    *,
    can_pick: bool = False,
) -> SafeString:
    """Rows of a table, each of which chooses its task; with `can_pick` each has a box to tick.

    A mapped task has one row, and below it a page of its instances where it is unfolded.
    """
    instances = unfolded.page["rows"] if unfolded else []
    states = {row.state for row in rows} | {task.state for task in instances}
    badges = {state: ui.state(state) for state in states}
    kept, folds = _kept(context), _folds(context)
    parts = []
    for row in rows:
        is_unfolded = unfolded is not None and unfolded.task_id == row.task_id
        if row.only:
            is_shown = row.only == shown
            parts.append(
                _task_row(row.only, badges[row.state], is_shown=is_shown, can_pick=can_pick, folds=folds)
            )
            continue
        is_shown = shown is not None and shown.task_id == row.task_id and not is_unfolded
        parts.append(_mapped_row(row, kept, is_shown=is_shown, is_unfolded=is_unfolded, can_pick=can_pick))
        if unfolded and is_unfolded:
            parts.append(_find(unfolded))
            parts += [
                _task_row(
                    task,
                    badges[task.state],
                    is_shown=task == shown,
                    can_pick=can_pick,
                    query=f"&{unfolded.query}",
                    folds=folds,
                )
                for task in instances
            ]
            parts.append(_pager(unfolded))
    return mark_safe("".join(parts))  # noqa: S308


def _kept(context: Context) -> str:
    """What of the address stays when a task is unfolded: which log is beside it."""
    given = context["request"].GET
    kept = {name: given[name] for name in ("task", "map_index", "show") if name in given}
    kept |= {"fold": given.getlist("fold")} if "fold" in given else {}
    return f"{urlencode(kept, doseq=True)}&" if kept else ""


def _folds(context: Context) -> str:
    """Which groups of the graph are folded, for the end of another address."""
    names = context["request"].GET.getlist("fold")
    return f"&{urlencode({'fold': names}, doseq=True)}" if names else ""


@register.simple_tag(takes_context=True)
def all_folded(context: Context, groups: Sequence[Group]) -> str:
    """The address's query with all of these groups folded; with none where all are."""
    query = context["request"].GET.copy()
    query.setlist("fold", [] if all(one.is_folded for one in groups) else [one.name for one in groups])
    return query.urlencode()


def _find(unfolded: Unfolded) -> str:
    """A box to look for an instance; its form stands outside of the one that the table is in."""
    label = escape(_("Find an instance by its index or name"))
    return (
        '<tr id="tasks-find" class="is-instance"><td colspan="4"><input class="form-control" type="search"'
        f' name="find" form="instances-find" value="{escape(unfolded.text)}" maxlength="{LONGEST_TEXT}"'
        f' placeholder="{label}" aria-label="{label}"></td></tr>\n'
    )


def _pager(unfolded: Unfolded) -> str:
    drawn = render_to_string("_shared/_pager.html", {"page": unfolded.page})
    return f'<tr id="tasks-pager" class="is-instance"><td colspan="4">{drawn}</td></tr>\n'


def _mapped_row(row: TaskRow, kept: str, *, is_shown: bool, is_unfolded: bool, can_pick: bool) -> str:
    name, task_id = escape(row), escape(row.task_id)
    this = f"?{escape(kept)}unfold={escape(quote(row.task_id))}"
    url = f"?{escape(kept)}unfold=#tasks-title" if is_unfolded else f"{this}#tasks-title"
    counts = "".join(
        f'<a class="chip" href="{this}&amp;of={escape(quote(state or NO_STATE))}#tasks-title">'
        f"{ui.state(state, label=f'{numbers.whole(n)} {look_of(state or None).word}')}</a>"
        for state, n in row.counts.items()
    )
    current = ' aria-current="true"' if is_shown else ""
    return (
        f'<tr id="task-of-{task_id}" data-href="{url}"{current}><th scope="row"><div class="pick">'
        f'{_tick(f"* {row.task_id}", row) if can_pick else ""}<div><a class="cell-main" href="{url}"'
        f' aria-expanded="{"true" if is_unfolded else "false"}">{"▾" if is_unfolded else "▸"} {name}</a>'
        f'<div class="cell-sub">{escape(row.operator)}</div></div></div></th>'
        f'<td><div class="chips state-counts">{counts}</div></td>'
        f'<td class="num hide-phone">{numbers.NOTHING}</td>'
        f'<td class="num">{ui.duration(row.seconds)}</td></tr>\n'
    )


def _tick(value: str, name: object) -> str:
    return (
        '<span class="check"><input class="form-check-input" type="checkbox" name="tasks"'
        f' value="{escape(value)}" aria-label="{escape(name)}"></span>'
    )


def _task_row(
    task: TaskInstance, badge: str, *, is_shown: bool, can_pick: bool, query: str = "", folds: str = ""
) -> str:
    url, name = f"?{escape(task.url_query + query + folds)}#log", escape(task)
    current = ' class="is-instance"' if query else ""
    current += ' aria-current="true"' if is_shown else ""
    tick = _tick(f"{task.map_index} {task.task_id}", task) if can_pick else ""
    sub = "" if query else f'<div class="cell-sub">{escape(task.operator)}</div>'  # of all instances above
    return (
        f'<tr id="task-{task.pk}" data-href="{url}"{current}><th scope="row"><div class="pick">'
        f'{tick}<div><a class="cell-main" href="{url}">{name}</a>'
        f"{sub}</div></div></th><td>{badge}</td>"
        f'<td class="num hide-phone">{task.try_number or numbers.NOTHING}</td>'
        f'<td class="num">{ui.duration(task.seconds)}</td></tr>\n'
    )


@register.simple_tag(takes_context=True)
def graph_marks(context: Context, graph: ColouredGraph, run: Run | None = None) -> SafeString:
    """Frames of groups, curves and what is written on them, boxes.

    A box leads to its task in the run, that of a folded group unfolds it. The name of a group leads
    to what running it again in the run would do, for those who may.
    """
    run_url = reverse("pipelines:run-detail", args=[run.pk]) if run else ""
    words = {state: str(look_of(state).word) for state in {item.state for item in graph.boxes} if state}
    may_clear = run and run.can_change and (context.get("may") or {}).get("pipelines_run")
    clear_url = reverse("pipelines:run-clear", args=[run.pk]) if run and may_clear else ""
    folds = _folds(context)
    parts = [_frame(frame, clear_url) for frame in graph.drawing.frames]
    parts += [f'<path class="graph-edge" d="{path}"/>' for path in graph.drawing.paths]
    parts += [f'<path class="graph-edge is-side" d="{path}"/>' for path in graph.drawing.side_paths]
    parts += [_edge_label(one) for one in graph.drawing.edge_labels]
    for item in graph.boxes:
        box, drawn = item.box, _box(item, words)
        if box.n_tasks:
            label = _("Unfold %(name)s") % {"name": box.full_label}
            drawn = _link(f"?{ui.toggled(context, 'fold', box.id)}#graph-title", label, drawn)
        elif run_url and item.state:
            url = f"{run_url}?task={quote(box.id, safe='')}{folds}#log"
            drawn = _link(url, f"{box.full_label}: {item.state}", drawn)
        parts.append(drawn)
    return mark_safe("".join(parts))  # noqa: S308


def _link(url: str, label: str, drawn: str) -> str:
    return f'<a href="{escape(url)}" aria-label="{escape(label)}">{drawn}</a>'


def _frame(frame: Frame, clear_url: str) -> str:
    name = f'<text x="{frame.x + 10:g}" y="{frame.y + 16:g}">{escape(frame.label)}</text>'
    if clear_url:
        label = _("Run the group %(name)s again") % {"name": frame.id}
        name = _link(f"{clear_url}?group={quote(frame.id, safe='')}", label, name)
    return (
        f'<g class="graph-frame">{_rect(frame.x, frame.y, frame.width, frame.height, 10)}'
        f"{name}<title>{escape(frame.id)}</title></g>"
    )


def _edge_label(one: EdgeLabel) -> str:
    title = f"<title>{escape(one.full_label)}</title>" if one.label != one.full_label else ""
    return (
        f'<text class="graph-label" x="{one.x:g}" y="{one.y:g}" text-anchor="middle"'
        f' dominant-baseline="central">{escape(one.label)}{title}</text>'
    )


def _box(item: ColouredBox, words: Mapping[str, str]) -> str:
    box = item.box
    is_several = box.is_mapped or box.n_tasks
    behind = _rect(box.x + 4, box.y + 4, box.width - 8, BOX_H, 9, "graph-behind") if is_several else ""
    label = f"{box.label} × {item.n_instances}" if item.n_instances > 1 else box.label
    kind = look_of(item.state).kind if item.state else "none"
    return (
        f'<g class="graph-box box-{kind}{" is-shown" if item.is_shown else ""}">'
        f"{behind}{_rect(box.x, box.y, box.width, BOX_H, 9, 'graph-front')}"
        f'<text x="{box.middle_x:g}" y="{box.middle_y:g}" text-anchor="middle" dominant-baseline="central">'
        f"{escape(label)}</text><title>{escape(_facts(box, words.get(item.state, '')))}</title></g>"
    )


def _facts(box: Box, word: str) -> str:
    n = ngettext("%(n)s task", "%(n)s tasks", box.n_tasks) % {"n": box.n_tasks} if box.n_tasks else ""
    role = {"setup": _("setup"), "teardown": _("teardown")}.get(box.role, "")
    return " · ".join(part for part in (box.full_label, role, box.operator, word, n) if part)


def _rect(x: float, y: float, width: float, height: float, radius: int, css: str = "") -> str:
    named = f'class="{css}" ' if css else ""
    return f'<rect {named}x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}"/>'


@register.simple_tag(takes_context=True)
def gantt_rows(context: Context, gantt: Gantt) -> SafeString:
    """Rows of a table: each task with its tries on the axis that all rows share."""
    badges = {state: ui.state(state) for state in {row.task.state for row in gantt.rows} if state}
    breaks = "".join(
        f'<line class="mark-line" x1="{place:g}" x2="{place:g}" y1="0" y2="16"'
        ' vector-effect="non-scaling-stroke"/>'
        for place in gantt.breaks
    )
    start = (
        '<svg class="gantt-bars" viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">'
        f"{breaks}"
    )
    folds = _folds(context)
    title, not_started = _("try %(n)s: %(state)s, %(took)s"), escape(_("not started"))
    parts = []
    for row in gantt.rows:
        drawn = "".join(_bar(one, _words(row, one, title)) for one in row.tries)
        bars = f"{start}{drawn}</svg>"
        instead = f'<span class="muted small">{badges.get(row.task.state, not_started)}</span>'
        parts.append(_gantt_row(row, bars if row.tries else instead, folds))
    return mark_safe("".join(parts))  # noqa: S308


def _words(row: Row, one: Try, title: str) -> str:
    """Of a try; of all instances of a mapped task, how many are in which state."""
    took = numbers.span(one.took)
    if one.number:
        return title % {"n": one.number, "state": one.state, "took": took}
    counts = [f"{n} {look_of(state or None).word}" for state, n in row.task.counts.items()]
    return ", ".join([*counts, took])


def _gantt_row(row: Row, drawn: str, folds: str) -> str:
    name, query = escape(row.task), escape(row.task.url_query + folds)
    return (
        f'<tr><th scope="row"><a href="?{query}#log" title="{name}">{name}</a></th>'
        f'<td>{drawn}</td><td class="num">{ui.duration(row.task.seconds)}</td></tr>\n'
    )


def _bar(one: Try, words: str) -> str:
    return (
        f'<rect class="fill-{look_of(one.state).kind}{" is-earlier" if one.is_earlier else ""}"'
        f' x="{one.x:g}" y="2" width="{one.width:g}" height="12"><title>{escape(words)}</title></rect>'
    )
