"""What an entry is about: its kind in words, and the page of the thing while it is there.

The apps above say where a row's page is (`get_absolute_url`); the trail finds them by the kind's name.
"""

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models

from core.audit.models import AuditEntry


def kind_of(object_type: str) -> str:
    """ "pipelines.run" as "run"; a kind without rows here as it is."""
    model = _model(object_type)
    return object_type if model is None else str(model._meta.verbose_name)


def page_of(entry: AuditEntry) -> str | None:
    """Where the thing is shown; None for one that is gone or has no page."""
    model = _model(entry.object_type)
    if model is None or not hasattr(model, "get_absolute_url"):
        return None
    try:
        row = model._default_manager.filter(pk=entry.object_id).first()
    except (ValueError, ValidationError):  # the key was of another kind when the entry was written
        return None
    return None if row is None else str(row.get_absolute_url())  # type: ignore[attr-defined]


def _model(object_type: str) -> type[models.Model] | None:
    label, dot, name = object_type.partition(".")
    try:
        return apps.get_model(label, name) if dot else None
    except LookupError:
        return None
