"""Reads: rules, how far the current window is filled, windows and what became of them."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, Func, JSONField, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import NotFound
from models_registry import queries as registry
from predictions.models import DriftRules, DriftVerdict, DriftWatch, DriftWindow, Prediction

STRIP = 24


class Brief(Func):
    """The columns of a window without their checks and bins, which are nine tenths of it."""

    template = (
        "(SELECT jsonb_agg(one.value - '{checks,bins}'::text[] ORDER BY one.ordinality)"
        " FROM jsonb_array_elements(%(expressions)s) WITH ORDINALITY AS one)"
    )
    output_field = JSONField()


class Filling(NamedTuple):
    """n: predictions that wait, at most a window of them. oldest: when the first of them was recorded."""

    n: int
    size: int
    oldest: datetime | None
    closes_at: datetime | None

    @property
    def share(self) -> float:
        return self.n / self.size


class Standing(NamedTuple):
    """How a model is watched. version: of the champion. recent: windows, the newest first."""

    model: str
    version: str
    is_demo: bool
    rules: DriftRules
    watch: DriftWatch | None
    filling: Filling
    recent: list[DriftWindow]

    @property
    def last(self) -> DriftWindow | None:
        return self.recent[0] if self.recent else None


# --- rules


def rules(model: str) -> DriftRules:
    """Of the model, or the defaults."""
    return DriftRules.objects.filter(model=model).first() or DriftRules(model=model)


def unwatched() -> set[str]:
    """Models whose rules say that nobody watches them."""
    return set(DriftRules.objects.filter(is_watched=False).values_list("model", flat=True))


def known(model: str) -> str:
    """The model's name. Raises NotFound."""
    if not registry.exists(model) and not DriftWindow.objects.filter(model=model).exists():
        raise NotFound(_("There is no model %(name)s.") % {"name": model})
    return model


# --- what waits


def waiting(watch: DriftWatch) -> QuerySet[Prediction]:
    """Predictions that are in no window yet."""
    return Prediction.objects.filter(
        model=watch.model,
        version=watch.version,
        is_demo=watch.is_demo,
        arrival__gt=watch.bookmark,
        is_answered=True,
    )


def filling(watch: DriftWatch, of: DriftRules) -> Filling:
    """Two short looks at an index, however many predictions there are."""
    rows = waiting(watch).order_by("arrival")
    oldest = rows.values_list("recorded_at", flat=True).first()
    n = rows[: of.window_size].count() if oldest else 0
    closes_at = oldest + timedelta(hours=of.window_hours) if oldest else None
    return Filling(n, of.window_size, oldest, closes_at)


def is_complete(n: int, oldest: datetime | None, of: DriftRules) -> bool:
    """Whether so many predictions, the first recorded at `oldest`, make a window now."""
    if oldest is None or n >= of.window_size:
        return n >= of.window_size
    return n >= of.min_n and oldest <= timezone.now() - timedelta(hours=of.window_hours)


# --- models and windows


def standings() -> list[Standing]:
    """Every model with a champion, by name."""
    return [_standing(champion, recent(champion.model)) for champion in registry.champions()]


def standing(model: str, recent: list[DriftWindow]) -> Standing | None:
    """Of one model, whose last windows these are; None while it has no champion."""
    champion = registry.champion(model)
    return _standing(champion, recent) if champion else None


def _standing(champion: registry.Champion, recent: list[DriftWindow]) -> Standing:
    own = rules(champion.model)
    key = {"model": champion.model, "version": champion.version, "is_demo": champion.is_demo}
    watch = DriftWatch.objects.filter(**key).defer("summary").first()
    now = filling(watch or DriftWatch(**key), own)
    return Standing(champion.model, champion.version, champion.is_demo, own, watch, now, recent)


def recent(model: str) -> list[DriftWindow]:
    """The last windows of a model, champion or not, briefly and the newest first."""
    return list(brief_windows(model)[:STRIP])


def last_windows() -> list[DriftWindow]:
    """The newest window of each model, briefly, by model."""
    newest = DriftWindow.objects.order_by("model", "-pk").distinct("model").values("pk")
    rows = DriftWindow.objects.filter(pk__in=newest).order_by("model")
    return list(rows.defer("columns").annotate(brief=Brief(F("columns"))))


def windows(model: str) -> QuerySet[DriftWindow]:
    """Of all its versions, newest first."""
    return DriftWindow.objects.filter(model=model).order_by("-pk")


def brief_windows(model: str) -> QuerySet[DriftWindow]:
    """The same for lists and strips: `verdicts` without checks and bins."""
    return windows(model).defer("columns").annotate(brief=Brief(F("columns")))


def window(model: str, pk: int) -> DriftWindow:
    """Raises NotFound."""
    found = windows(model).filter(pk=pk).first()
    if found is None:
        raise NotFound(
            _("%(model)s has no window %(id)s. Old ones are removed.") % {"model": model, "id": pk}
        )
    return found


def before(row: DriftWindow) -> list[DriftWindow]:
    """The window and those before it, briefly and newest first: what a strip shows."""
    return list(brief_windows(row.model).filter(pk__lte=row.pk)[:STRIP])


def verdicts_until(row: DriftWindow) -> QuerySet[DriftWindow]:
    """That window and those before it of the same version, newest first, without those too small to tell."""
    of = {"model": row.model, "version": row.version, "is_demo": row.is_demo}
    told = DriftWindow.objects.filter(**of, pk__lte=row.pk).exclude(verdict=DriftVerdict.NOT_ENOUGH)
    return told.order_by("-pk")


def columns_over_time(recent: list[DriftWindow]) -> dict[str, list[tuple[DriftWindow, dict[str, Any]]]]:
    """column -> its judgements, oldest first."""
    found: dict[str, list[tuple[DriftWindow, dict[str, Any]]]] = {}
    for row in reversed(recent):
        for column in row.verdicts:
            found.setdefault(column["name"], []).append((row, column))
    return found
