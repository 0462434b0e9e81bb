"""What the shell asks of all apps together: its search, the boxes of the overview, whether it is all new."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import structlog
from django.http import HttpRequest
from django.urls import resolve, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.access import policy
from core.access import queries as access
from core.access.models import User
from core.alerts import queries as alerts
from core.lib import aside, error_pages
from core.lib.errors import ConsoleError
from core.lib.hits import Hit
from jobs import queries as jobs
from models_registry import queries as models_registry
from pipelines import queries as pipelines
from pipelines import search_queries as pipelines_search
from predictions import queries as predictions
from predictions.batches import queries as batches
from streaming import queries as streaming
from usecases import queries as usecases

log = structlog.get_logger(__name__)

MOST_HITS = 8
LONGEST_TEXT = 100

# Words of a page, its view, its icon. Who may not open it does not find it.
PAGES = (
    (gettext_lazy("Overview"), "console:overview", "home"),
    (gettext_lazy("Pipelines"), "pipelines:pipeline-list", "pipelines"),
    (gettext_lazy("Runs"), "pipelines:run-list", "pipelines"),
    (gettext_lazy("Questions"), "pipelines:input-list", "pipelines"),
    (gettext_lazy("Backfills"), "pipelines:backfill-list", "pipelines"),
    (gettext_lazy("Assets"), "pipelines:asset-list", "pipelines"),
    (gettext_lazy("Import errors"), "pipelines:import-fault-list", "pipelines"),
    (gettext_lazy("Alert rules"), "pipelines:alert-rule-list", "pipelines"),
    (gettext_lazy("Models"), "models:model-list", "models"),
    (gettext_lazy("Experiments"), "models:experiment-list", "models"),
    (gettext_lazy("Promotions"), "models:promotion-list", "models"),
    (gettext_lazy("Streams"), "streams:stream-list", "streams"),
    (gettext_lazy("Topics"), "streams:topic-list", "streams"),
    (gettext_lazy("Replays"), "streams:replay-list", "streams"),
    (gettext_lazy("Jobs"), "jobs:job-list", "jobs"),
    (gettext_lazy("Schedules"), "jobs:schedule-list", "jobs"),
    (gettext_lazy("Predict"), "predict:index", "predict"),
    (gettext_lazy("Predictions"), "predict:list", "predict"),
    (gettext_lazy("Use cases"), "usecases:usecase-list", "models"),
    (gettext_lazy("Drift"), "drift:model-list", "monitoring"),
    (gettext_lazy("Alerts"), "alerts:alert-list", "bell"),
    (gettext_lazy("Notifications"), "alerts:channel-list", "bell"),
    (gettext_lazy("Doctor"), "console:doctor", "system"),
    (gettext_lazy("Services"), "access:service-list", "system"),
    (gettext_lazy("Roles"), "access:role-list", "system"),
    (gettext_lazy("Your account"), "access:account", "system"),
    (gettext_lazy("Users"), "access:user-list", "system"),
    (gettext_lazy("Set aside"), "alerts:set-aside-list", "system"),
    (gettext_lazy("Audit trail"), "audit:entry-list", "system"),
    (gettext_lazy("API tokens"), "access:token-list", "system"),
    (gettext_lazy("Everybody's API tokens"), "access:all-token-list", "system"),
    (gettext_lazy("Sign-in"), "access:limit-list", "system"),
    (gettext_lazy("System"), "access:system", "system"),
    (gettext_lazy("REST API"), "console:api-docs", "system"),
)
# The right without which a provider has nothing for somebody; it looks itself at what is theirs.
PROVIDERS: tuple[tuple[str, Callable[[str, User], Iterable[Hit]]], ...] = (
    ("see", usecases.search),
    ("see", pipelines_search.search),
    ("see", pipelines_search.search_assets),
    ("see", pipelines_search.search_alert_rules),
    ("see", pipelines_search.search_backfills),
    ("see", models_registry.search),
    ("see", models_registry.search_runs),
    ("see", streaming.search),
    ("see", streaming.search_groups),
    ("see", jobs.search),
    ("predict", predictions.search),
    ("predict", batches.search),
    ("see", alerts.search),
    ("see", alerts.search_channels),
    ("admin", access.search),
    (policy.SIGNED_IN, access.search_tokens),
)
# The fragments that the overview shows, by the name under which its template puts them.
BOXES = {
    "champions": "models:champions",
    "line": "streams:overview-line",
    "predictions": "predict:recent",
    "jobs": "jobs:recent-jobs",
    "needs_you": "models:needs-you",
    "alerts": "alerts:overview-box",
    "runs": "pipelines:recent-runs",
}


def boxes(request: HttpRequest) -> dict[str, SafeString]:
    """The boxes that this user may see, drawn by the views that draw them again later; by name.

    So the page is whole without scripts, and nothing moves while it loads. One that cannot be drawn is empty.
    """
    allowed = {name: view for name, view in BOXES.items() if policy.allows_route(request.user, view)}
    return {name: _drawn(view, request) for name, view in allowed.items()}


def _drawn(view_name: str, request: HttpRequest) -> SafeString:
    with _apart("overview.box_not_drawn", view_name):
        answer = resolve(reverse(view_name)).func(request)
        return mark_safe(answer.content.decode())  # noqa: S308 - our own templates escaped it
    return mark_safe("")


@contextmanager
def _apart(event: str, name: str) -> Iterator[None]:
    """A part that fails is logged and left out; the page has others. Raises what no database does to all."""
    try:
        with aside.savepoint():
            yield
    except error_pages.NO_DATABASE:
        raise
    except ConsoleError as error:
        log.warning(event, name=name, error=error.message)
    except Exception:
        log.exception(event, name=name)


def is_new_installation() -> bool:
    """Whether nothing has ever run here and nothing serves."""
    return not pipelines.runs().exists() and not models_registry.champions()


def search(text: str, user: User) -> list[Hit]:
    """What `user` may open and `text` (any case) names; nothing for no text."""
    text = text.strip()[:LONGEST_TEXT]
    if not text:
        return []
    hits = [hit for hit in _pages(user) if text.casefold() in str(hit.label).casefold()]
    for scope, find in PROVIDERS:
        if scope == policy.SIGNED_IN or policy.allows(user, scope):
            with _apart("search.provider_failed", f"{find.__module__}.{find.__name__}"):
                hits += list(islice(find(text, user), MOST_HITS))
    return hits


def _pages(user: User) -> Iterable[Hit]:
    for label, view_name, icon in PAGES:
        if policy.allows_route(user, view_name):
            yield Hit(str(label), reverse(view_name), _("Page"), icon)
