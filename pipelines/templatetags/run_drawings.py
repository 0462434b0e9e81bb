"""`{% load run_drawings %}`: what a graph and a timeline have by the hundred, as SVG.

Written here and not in templates, which take ten times as long for it: a run of 200 tasks is drawn anew at
each of its changes, for everybody who looks at it. Each text is escaped where it is put in.
"""

from django import template
from django.template.context import Context
from django.urls import reverse
from django.utils.html import escape
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.lib.templatetags import numbers, ui
from core.lib.templatetags.states import look_of
from pipelines.gantt import Gantt, Row, Try
from pipelines.graph import BOX_H, Box, Frame
from pipelines.models import Run
from pipelines.pictures import ColouredBox, ColouredGraph

register = template.Library()


@register.simple_tag(takes_context=True)
def graph_marks(context: Context, graph: ColouredGraph, run: Run | None = None) -> SafeString:
    """Frames of groups, curves, boxes; a box leads to its task in the run, a folded group's unfolds it."""
    run_url = reverse("pipelines:run-detail", args=[run.pk]) if run else ""
    parts = [_frame(frame) for frame in graph.drawing.frames]
    parts += [f'<path class="graph-edge" d="{path}"/>' for path in graph.drawing.paths]
    for item in graph.boxes:
        box, drawn = item.box, _box(item)
        if box.n_tasks:
            label = _("Unfold %(name)s") % {"name": box.full_label}
            drawn = _link(f"?{ui.toggled(context, 'fold', box.id)}", label, drawn)
        elif run_url and item.state:
            url = f"{run_url}?{urlencode({'task': box.id})}#log"
            drawn = _link(url, f"{box.full_label}: {item.state}", drawn)
        parts.append(drawn)
    return mark_safe("".join(parts))  # noqa: S308


def _link(url: str, label: str, drawn: str) -> str:
    return f'<a href="{escape(url)}" aria-label="{escape(label)}">{drawn}</a>'


def _frame(frame: Frame) -> str:
    return (
        f'<g class="graph-frame">{_rect(frame.x, frame.y, frame.width, frame.height, 10)}'
        f'<text x="{frame.x + 10:g}" y="{frame.y + 16:g}">{escape(frame.label)}</text>'
        f"<title>{escape(frame.id)}</title></g>"
    )


def _box(item: ColouredBox) -> str:
    box = item.box
    is_several = box.is_mapped or box.n_tasks
    behind = _rect(box.x + 4, box.y + 4, box.width - 8, BOX_H, 9, "graph-behind") if is_several else ""
    label = f"{box.label} × {item.n_instances}" if item.n_instances > 1 else box.label
    kind = look_of(item.state).kind if item.state else "none"
    return (
        f'<g class="graph-box box-{kind}{" is-shown" if item.is_shown else ""}">'
        f"{behind}{_rect(box.x, box.y, box.width, BOX_H, 9, 'graph-front')}"
        f'<text x="{box.middle_x:g}" y="{box.middle_y:g}" text-anchor="middle" dominant-baseline="central">'
        f"{escape(label)}</text><title>{escape(_facts(box, item.state))}</title></g>"
    )


def _facts(box: Box, state: str) -> str:
    n = ngettext("%(n)s task", "%(n)s tasks", box.n_tasks) % {"n": box.n_tasks} if box.n_tasks else ""
    word = str(look_of(state).word) if state else ""
    return " · ".join(part for part in (box.full_label, box.operator, word, n) if part)


def _rect(x: float, y: float, width: float, height: float, radius: int, css: str = "") -> str:
    named = f'class="{css}" ' if css else ""
    return f'<rect {named}x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}"/>'


@register.simple_tag
def gantt_bars(gantt: Gantt, row: Row) -> SafeString:
    """The tries of one task on the axis that all rows share."""
    lines = "".join(
        f'<line class="mark-line" x1="{place:g}" x2="{place:g}" y1="0" y2="16"'
        ' vector-effect="non-scaling-stroke"/>'
        for place in gantt.breaks
    )
    bars = "".join(_bar(one) for one in row.tries)
    return mark_safe(  # noqa: S308
        '<svg class="gantt-bars" viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">'
        f"{lines}{bars}</svg>"
    )


def _bar(one: Try) -> str:
    words = {"n": one.number, "state": one.state, "took": numbers.span(one.took)}
    title = escape(_("try %(n)s: %(state)s, %(took)s") % words)
    return (
        f'<rect class="fill-{look_of(one.state).kind}{" is-earlier" if one.is_earlier else ""}"'
        f' x="{one.x:g}" y="2" width="{one.width:g}" height="12"><title>{title}</title></rect>'
    )
