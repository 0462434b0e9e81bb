"""What views have in common: the age of the rows, and the answer after a click."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from core.lib.htmx import go_to
from core.lib.models import SyncState
from models_registry.gateway import SERVICE

WALK = "models_registry.sync.walk_everything"


def shared() -> dict[str, Any]:
    """As of when the rows hold."""
    return {"stale_since": SyncState.stale_since(SERVICE), "service": "MLflow", "nav": "models"}


def walked() -> dict[str, Any]:
    """When everything was last compared with MLflow: late tags and deletions are known up to then."""
    state = SyncState.objects.filter(name=WALK).first()
    return {"walked_at": state.last_success_at if state else None}


def done(request: HttpRequest, url: str, message: str) -> HttpResponse:
    """To `url`, which shows the message."""
    messages.success(request, message)
    return go_to(request, url)
