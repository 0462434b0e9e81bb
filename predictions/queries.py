"""Reads of recorded predictions, for pages and REST."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncMinute
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import edge
from core.lib.errors import NotFound
from core.lib.hits import Hit
from predictions import partitions
from predictions.models import ErasedPrediction, Prediction

PAGE = 50
# So long after it was answered a prediction may still be on its way into the database.
RECORDING_FOR = timedelta(minutes=15)
CHART_MINUTES = 30


def is_any_recorded() -> bool:
    """Whether anybody has predicted anything."""
    return Prediction.objects.exists()


def of_user(user: User) -> QuerySet[Prediction]:
    """The user's own, newest first."""
    return Prediction.objects.filter(user_id=user.pk)


def visible_to(user: User) -> QuerySet[Prediction]:
    """Everybody's for those who may see them, else one's own."""
    return Prediction.objects.all() if policy.allows(user, "predictions.see_all") else of_user(user)


def matching(rows: QuerySet[Prediction], filters: dict[str, Any]) -> QuerySet[Prediction]:
    """Keep what the filters say: model, version, username, source, is_warned, has_actual, since."""
    for name in ("model", "version", "username", "source"):
        if filters.get(name):
            rows = rows.filter(**{name: filters[name]})
    if filters.get("only") == "warned":
        rows = rows.exclude(warnings=[])
    elif filters.get("only") == "labelled":
        rows = rows.filter(actual_at__isnull=False)
    elif filters.get("only") == "unanswered":
        rows = rows.filter(is_answered=False)
    if filters.get("since"):
        rows = rows.filter(id__gte=partitions.first_id(filters["since"]))
    return rows


def older(rows: QuerySet[Prediction], before: uuid.UUID | None) -> QuerySet[Prediction]:
    """Those that came before that one; all where none is named."""
    return rows if before is None else rows.filter(id__lt=before)


def page(rows: QuerySet[Prediction], before: uuid.UUID | None) -> tuple[list[Prediction], uuid.UUID | None]:
    """Up to fifty, and the id after which the next page starts."""
    found = list(older(rows, before)[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else None


def prediction(id_: uuid.UUID, *, by: User) -> Prediction | None:
    """A recorded one that the user may see; None while it may still arrive. Raises NotFound."""
    found = visible_to(by).filter(pk=id_).first()
    if found is not None:
        return found
    if ErasedPrediction.objects.filter(pk=id_, user_id=by.pk).exists():
        raise NotFound(_("This prediction was erased."))
    age = timezone.now() - partitions.at_of(id_)
    if (
        id_.version != 7
        or not -RECORDING_FOR < age < RECORDING_FOR
        or Prediction.objects.filter(pk=id_).exists()
    ):
        raise NotFound(_("There is no such prediction, or it is not yours."))
    return None


def erased_ids() -> Iterator[uuid.UUID]:
    """Of all predictions that were erased."""
    return ErasedPrediction.objects.order_by().values_list("pk", flat=True).iterator()


def per_minute(rows: QuerySet[Prediction]) -> list[tuple[datetime, int]]:
    """How many in each of the last thirty minutes, oldest first."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=CHART_MINUTES - 1)
    first = uuid.UUID(int=int(start.timestamp() * 1000) << 80)
    counted = dict(
        rows.filter(id__gte=first)
        .order_by()
        .annotate(minute=TruncMinute("at", tzinfo=UTC))
        .values_list("minute")
        .annotate(n=Count("pk"))
    )
    minutes = [start + timedelta(minutes=n) for n in range(CHART_MINUTES)]
    return [(minute, counted.get(minute, 0)) for minute in minutes]


def search(text: str, user: User) -> list[Hit]:
    """A prediction by its id, for the search of the page shell."""
    if not policy.allows(user, "predict"):
        return []
    id_ = edge.uuid_or_none(text)
    found = visible_to(user).filter(pk=id_).first() if id_ is not None else None
    if found is None:
        return []
    return [Hit(str(found), reverse("predict:detail", args=[found.pk]), _("prediction"), "predict")]
