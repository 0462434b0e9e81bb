"""`{% load shell %}`: the main navigation."""

from collections.abc import Mapping
from typing import NamedTuple

from django import template
from django.http import HttpRequest
from django.template.context import Context
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

register = template.Library()


class Section(NamedTuple):
    name: str
    icon: str
    label: object
    url_name: str
    scope: str  # as in `may`; empty: everybody who is signed in
    namespaces: frozenset[str]


SECTIONS = (
    Section("overview", "home", _("Overview"), "console:overview", "", frozenset({"console"})),
    Section(
        "pipelines",
        "pipelines",
        _("Pipelines"),
        "pipelines:pipeline-list",
        "see",
        frozenset({"pipelines"}),
    ),
    Section("models", "models", _("Models"), "models:model-list", "see", frozenset({"models"})),
    Section("streams", "streams", _("Streams"), "streams:stream-list", "see", frozenset({"streams"})),
    Section("jobs", "jobs", _("Jobs"), "jobs:job-list", "see", frozenset({"jobs"})),
    Section("predict", "predict", _("Predict"), "predict:index", "predict", frozenset({"predict"})),
    Section(
        "monitoring",
        "monitoring",
        _("Monitoring"),
        "alerts:alert-list",
        "see",
        frozenset({"alerts", "drift"}),
    ),
    Section("usecases", "usecases", _("Use cases"), "usecases:usecase-list", "see", frozenset({"usecases"})),
    Section("system", "system", _("System"), "access:system", "admin", frozenset({"access", "audit"})),
)


class Entry(NamedTuple):
    url: str
    icon: str
    label: object
    is_current: bool


def entries(request: HttpRequest, *, may: Mapping[str, bool], current: str) -> list[Entry]:
    """Current is the section named `current`, else the one whose URL namespace the request is in."""
    match = request.resolver_match
    namespace = match.app_name if match else ""
    shown = []
    for section in SECTIONS:
        if not section.scope or may.get(section.scope):
            is_current = section.name == current if current else namespace in section.namespaces
            shown.append(Entry(reverse(section.url_name), section.icon, section.label, is_current))
    return shown


@register.simple_tag(takes_context=True)
def nav_entries(context: Context) -> list[Entry]:
    """The entries of the main navigation that this user may open."""
    return entries(context["request"], may=context.get("may") or {}, current=context.get("nav") or "")
