"""`{% load ui %}`: states, icons, numbers, times, and the small drawings of the pages."""

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import unquote, urlencode

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple
from django.template.context import Context
from django.templatetags.static import static
from django.urls import get_script_prefix, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from core.lib.templatetags import drawings, numbers, outcomes
from core.lib.templatetags.states import look_of

register = template.Library()


# --- icons and states


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """An icon of the sprite; with a label it speaks, without one it is decoration."""
    return _icon(_sprite(), name, str(label), css)


@lru_cache(maxsize=1)  # a page may have hundreds of icons, and they are all in this file
def _sprite() -> str:
    return static("console/icons.svg")


@lru_cache(maxsize=2000)  # a page may have hundreds of the same
def _icon(sprite: str, name: str, label: str, css: str) -> SafeString:
    spoken = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    classes = f"icon {css}".strip()
    return format_html('<svg class="{}" {}><use href="{}#{}"></use></svg>', classes, spoken, sprite, name)


@register.simple_tag
def state(value: object, label: object = "", look: str = "") -> SafeString:
    """The badge of a state. `look` borrows another state's icon and colour, `label` another word."""
    found = look_of(look or value)
    word = label or (look_of(value).word if value else found.word)
    return _state(found.kind, found.icon, str(value or ""), str(word), _sprite())


@lru_cache(maxsize=2000)
def _state(kind: str, symbol: str, value: str, word: str, sprite: str) -> SafeString:
    drawn = _icon(sprite, symbol, "", "spin" if symbol == "spinner" else "")
    return format_html('<span class="state state-{}" data-state="{}">{}{}</span>', kind, value, drawn, word)


@register.filter
def state_kind(value: object) -> str:
    """ok, run, bad, wait or idle: for the class of something drawn in a state's colour."""
    return look_of(value).kind


@register.filter
def state_word(value: object) -> object:
    """A state in the reader's language."""
    return look_of(value).word


# --- numbers and times


@register.filter
def ago(value: datetime | date | None) -> SafeString | str:
    """A moment as relative text, with the absolute one in the tooltip; the browser keeps it fresh."""
    if not isinstance(value, datetime):
        return numbers.NOTHING
    exact, words = escape(numbers.absolute(value)), escape(numbers.relative(value))
    # A list has dozens of them: hence no `format_html`.
    return mark_safe(f'<time datetime="{value.isoformat()}" title="{exact}" data-ago>{words}</time>')  # noqa: S308


@register.filter
def at(value: datetime | None) -> SafeString | str:
    """A moment as date, time and zone."""
    if not isinstance(value, datetime):
        return numbers.NOTHING
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), numbers.absolute(value))


@register.filter
def moment(value: datetime | None) -> str:
    """The same as text only, for use inside an attribute."""
    return numbers.absolute(value) if isinstance(value, datetime) else numbers.NOTHING


@register.filter
def duration(value: timedelta | float | str | None) -> str:
    """A timedelta or seconds as "2 m 14 s"."""
    return numbers.NOTHING if value is None or isinstance(value, str) else numbers.span(value)


@register.filter
def count(value: int | str | None) -> SafeString | str:
    """A number of things, with thin spaces; from a million on short, the exact one in the tooltip."""
    if value is None or value == "":
        return numbers.NOTHING
    whole = int(value)
    shown = numbers.short_count(whole)
    exact = numbers.whole(whole)
    return shown if shown == exact else format_html('<span title="{}">{}</span>', exact, shown)


@register.filter
def whole(value: int | str | None) -> str:
    """A place, as an offset or a row: to be found again or typed elsewhere, so all of its digits."""
    return numbers.NOTHING if value is None or value == "" else numbers.whole(int(value))


@register.filter(name="bytes")
def size(value: float | str | None) -> str:
    return numbers.NOTHING if value is None or value == "" else numbers.binary_size(float(value))


@register.filter
def share(value: float | str | None) -> str:
    """A share in 0..1 as per cent with one decimal."""
    return numbers.NOTHING if value is None or value == "" else numbers.percent(float(value))


@register.filter
def metric(value: float | str | None) -> str:
    """Four significant digits; words pass as they are."""
    if value is None or value == "":
        return numbers.NOTHING
    return numbers.significant(value) if isinstance(value, int | float) else str(value)


@register.filter
def shortid(value: object) -> SafeString | str:
    """An id, shortened in the middle, that copies itself when clicked. Not for use inside a link."""
    if value is None or value == "":
        return numbers.NOTHING
    whole = str(value)
    return format_html(
        '<button type="button" class="id" data-copy="{0}" title="{0}" aria-label="{1}">{2}</button>',
        whole,
        _("Copy %(id)s") % {"id": whole},
        numbers.shortened(whole),
    )


@register.filter
def shorten(value: object) -> str:
    """The same shortening as text only, for use inside a link."""
    return numbers.NOTHING if value is None or value == "" else numbers.shortened(str(value))


# --- drawings


@register.simple_tag
def sparkline(values: list[float], label: str = "") -> SafeString | str:
    """A line of a few numbers, oldest first."""
    return drawings.sparkline(values, label)


@register.simple_tag
def run_bars(runs: list[Any], label: str = "") -> SafeString | str:
    """A strip of bars, oldest first. Each run has `state`, and may have `duration_s`, `label` and `url`."""
    return drawings.run_bars(runs, label)


@register.simple_tag
def bar(share_of_one: float, kind: str = "run") -> SafeString:
    """A horizontal bar, `share_of_one` full. The number itself stands beside it in text."""
    return drawings.bar(share_of_one, kind)


@register.simple_tag
def push_bar(value: float, limit: float) -> SafeString:
    """A bar to the left (negative) or right of the middle; `limit` is the value that fills a half."""
    return drawings.push_bar(value, limit)


# --- the frame


@register.simple_tag
def ago_words() -> str:
    """The words of relative times, for the browser."""
    return json.dumps({key: str(words) for key, words in numbers.AGO_WORDS.items()})


@register.simple_tag
def zone() -> str:
    """The reader's time zone, for the browser, and beside fields that take times."""
    return numbers.zone_name()


@register.simple_tag
def row_url(view_name: str, *args: Any) -> str:
    """As `url`, for the rows of a list: Django searches for each address anew, this remembers it."""
    return _address(view_name, args, get_script_prefix())


@register.simple_tag
def url_with(view_name: str, *args: Any, **query: Any) -> str:
    """As `url`, with a query; for an address that is needed twice, by htmx and where there are no scripts."""
    return f"{reverse(view_name, args=args)}?{urlencode(query)}"


@lru_cache(maxsize=5000)
def _address(view_name: str, args: tuple[Any, ...], _prefix: str) -> str:
    return reverse(view_name, args=args)


@register.simple_tag
def what_next(status: int, own_words: str = "") -> object:
    """The next step after an error: the page's own words, or those for the status."""
    return own_words or outcomes.next_step(status)


@register.filter
def toast_kind(level: str) -> str:
    return outcomes.TOASTS.get(level.rpartition(" ")[2], outcomes.TOASTS["info"])[0]


@register.filter
def toast_icon(level: str) -> str:
    return outcomes.TOASTS.get(level.rpartition(" ")[2], outcomes.TOASTS["info"])[1]


@register.filter
def initials(name: str) -> str:
    """Two letters for a user's mark."""
    words = [word for word in re.split(r"[^\w]+|_", name) if word]
    letters = words[0][:1] + words[1][:1] if len(words) > 1 else name[:2]
    return letters.upper()


@register.simple_tag(takes_context=True)
def tab(context: Context, url: str, label: object, n: int | None = None) -> SafeString:
    """One tab; the tab whose URL is this page's is the current one."""
    is_current = unquote(url.partition("?")[0]) == context["request"].path
    current = mark_safe(' aria-current="page"') if is_current else ""
    number = format_html(' <span class="tab-count">{}</span>', count(n)) if n is not None else ""
    return format_html('<a class="tab" href="{}"{}>{}{}</a>', url, current, label, number)


@register.simple_tag(takes_context=True)
def sort_header(context: Context, field: str, label: object, css: str = "") -> SafeString:
    """A column header that sorts: `?order=field`, and `?order=-field` when clicked again."""
    query = context["request"].GET.copy()
    current = query.get("order", "")
    query.pop("cursor", None)
    query.pop("page", None)
    query["order"] = f"-{field}" if current == field else field
    sort = {field: "ascending", f"-{field}": "descending"}.get(current)
    arrow = icon("chevron-up" if sort == "ascending" else "chevron-down", css="sort-icon")
    aria = format_html(' aria-sort="{}"', sort) if sort else ""
    markup = '<th scope="col" class="{}"{}><a class="sort" href="?{}">{}{}</a></th>'
    return format_html(markup, css, aria, query.urlencode(), label, arrow)


@register.simple_tag(takes_context=True)
def toggled(context: Context, name: str, value: object) -> str:
    """The address's query with this value of a name that may have several, or without where it has it."""
    query = context["request"].GET.copy()
    values = query.pop(name, [])
    text = str(value)
    query.setlist(name, [one for one in values if one != text] if text in values else [*values, text])
    return query.urlencode()


@register.simple_tag(takes_context=True)
def with_value(context: Context, name: str, value: object) -> str:
    """The address's query with this one value of a name; the first page of what it then shows."""
    query = context["request"].GET.copy()
    query.pop("page", None)
    query[name] = str(value)
    return query.urlencode()


@register.simple_tag(takes_context=True)
def filters_into(context: Context, target: str) -> SafeString:
    """For a form that filters: while one types, the page fetches what `target` names."""
    markup = (
        'hx-get="{}" hx-target="{}" hx-swap="outerMorph" hx-push-url="true"'
        ' hx-trigger="input delay:300ms, submit"'
    )
    return format_html(markup, context["request"].path, target)


@register.filter
def control(field: BoundField) -> SafeString:
    """A form field's widget in the classes of this design."""
    kind = getattr(field.field.widget, "input_type", "")
    if is_many(field):
        css = "checks"
    elif kind == "select":
        css = "form-select"
    elif kind in {"checkbox", "radio"}:
        css = "form-check-input"
    else:
        css = "form-control"
    own = field.field.widget.attrs.get("class", "")
    invalid = "is-invalid" if field.errors else ""
    return field.as_widget(attrs={"class": " ".join(filter(None, [css, own, invalid]))})


@register.filter
def is_check(field: BoundField) -> bool:
    """Whether it is one box to tick, whose label stands beside it."""
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def is_many(field: BoundField) -> bool:
    """Whether it is several boxes to tick, each with a label of its own."""
    return isinstance(field.field.widget, CheckboxSelectMultiple)


@register.filter
def markdown(text: str) -> SafeString:
    """What others wrote in Markdown, as HTML that does no harm."""
    from core.lib.markdown import html  # only where there is some: the parser takes its time to load

    return html(text)


@register.filter
def pairs(named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names with their values: to `.items` a template gives the value that is called so, if there is one."""
    return list(named.items())


@register.filter
def plain(value: float | str | bool | list | dict | None) -> object:
    """A value of any kind: yes or no, a number by six digits, a dash for what is missing, else JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if not isinstance(value, float):
        return value
    mantissa, e, power = f"{value:.6g}".partition("e")
    return f"{numbers.localised(mantissa)}{e}{power}"
