"""What the page shell needs to know: the navigation, the kinds of toast, the next step after an error."""

from collections.abc import Mapping
from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

# level of a Django message: kind (the colour) and icon
TOASTS = {
    "debug": ("run", "info"),
    "info": ("run", "info"),
    "success": ("ok", "check"),
    "warning": ("wait", "alert"),
    "error": ("bad", "alert"),
}


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


NEXT_STEPS = {
    400: _("Go back and check what was sent."),
    403: _("Ask an administrator for the role, or go back."),
    404: _("Check the address, or search with the / key."),
    409: _("Reload the page to see how things are now, then decide."),
    413: _("Send less at once."),
    422: _("Mend the values named above and send them again; nothing was changed."),
    429: _("Wait a minute before you try again."),
    500: _(
        "This is a fault of the console, and it is in its log. Try again; if it stays, tell an administrator"
        " the number of the request."
    ),
    502: _("An administrator can check the console's credentials for that service."),
    503: _("Try again in a moment. What you see elsewhere is as it was last known."),
}


def next_step(status: int) -> object:
    return NEXT_STEPS.get(status, NEXT_STEPS[500 if status >= 500 else 400])
