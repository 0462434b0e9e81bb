"""`{% load drift_drawings %}`: what a page of drift has by the thousand, as SVG.

Written here and not in templates, which take ten times as long for it: a model of 20 fields has 500 bars of
windows and as many of distributions. Each text is escaped where it is put in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

register = template.Library()


@register.simple_tag
def drift_strip(strip: Mapping[str, Any] | None) -> SafeString:
    """A bar for each of the last windows, which leads to it; a dash where there is none."""
    if not strip:
        return mark_safe('<span class="muted">–</span>')
    label = escape(_("Strength of the last windows, oldest first"))
    size, limit = (strip["width"], strip["height"]), f"{strip['limit']:.1f}"
    bars = "".join(map(_window, strip["bars"]))
    return mark_safe(  # noqa: S308
        f'<svg class="drift-strip" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}"'
        f' role="group" aria-label="{label}">{bars}'
        f'<line class="mark-line" x1="0" x2="{size[0]}" y1="{limit}" y2="{limit}"/></svg>'
    )


def _window(bar: Mapping[str, Any]) -> str:
    title = escape(bar["title"])
    return (
        f'<a href="{escape(bar["url"])}" aria-label="{title}"><rect class="{bar["css"]}" x="{bar["x"]}"'
        f' y="{bar["y"]:.1f}" width="{bar["width"]}" height="{bar["height"]:.1f}" rx="1">'
        f"<title>{title}</title></rect></a>"
    )


@register.simple_tag
def drift_pair(pair: Mapping[str, Any]) -> SafeString:
    """Two distributions side by side without axes."""
    label = escape(_("Shares in reference and window"))
    width, height = pair["width"], pair["height"]
    return mark_safe(  # noqa: S308
        f'<svg class="pair-small" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="{label}">{drift_bars(pair["bars"])}</svg>'
    )


@register.simple_tag
def drift_bars(bars: Sequence[Mapping[str, Any]]) -> SafeString:
    """The bars of a distribution, in whatever frame."""
    return mark_safe("".join(map(_share, bars)))  # noqa: S308


def _share(bar: Mapping[str, Any]) -> str:
    return (
        f'<rect class="bar-{bar["css"]}" x="{bar["x"]:.2f}" y="{bar["y"]:.2f}" width="{bar["width"]:.2f}"'
        f' height="{bar["height"]:.2f}"><title>{escape(bar["title"])}</title></rect>'
    )
