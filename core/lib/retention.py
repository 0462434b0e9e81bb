"""How long rows are kept: each app names its tables and the setting of their days, and clears them daily.

What is named here the System page shows, so that nobody has to guess what goes when.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.functional import Promise

BATCH = 2_000
MOST_BATCHES = 500  # of one table a day: a first clearing of years goes on tomorrow


@dataclass(frozen=True)
class Kept:
    """Rows and the setting that says for how many days they are kept; 0: for ever."""

    label: str | Promise
    setting: str

    @property
    def days(self) -> int:
        return int(getattr(settings, self.setting))


_registered: list[Kept] = []


def register(label: str | Promise, setting: str) -> None:
    """Name what an app keeps for some days; called in `AppConfig.ready`."""
    _registered.append(Kept(label, setting))


def registered() -> list[Kept]:
    """All that is kept for some days, by the settings' names."""
    return sorted(_registered, key=lambda kept: kept.setting)


Linked = Callable[[Collection[str]], Iterable[str]]  # those of these names that an app's rows refer to

_links: dict[str, list[Linked]] = defaultdict(list)


def register_links(thing: str, linked: Linked) -> None:
    """Say which of these things (`pipelines.run`, by Airflow's id) an app refers to; called in `ready`."""
    _links[thing].append(linked)


def linked(thing: str, names: Collection[str]) -> set[str]:
    """Those that some app refers to: what shows where a thing came from leads to them, so they stay."""
    return {name for find in _links[thing] for name in find(names)}


def before(setting: str) -> datetime | None:
    """What is older than this may go, says the setting; None: nothing may."""
    days = int(getattr(settings, setting))
    return timezone.now() - timedelta(days=days) if days else None


def clear(rows: QuerySet[Model]) -> int:
    """Delete these rows in short transactions, with what hangs on them; returns how many rows went in all."""
    n_rows = 0
    for _number in range(MOST_BATCHES):
        batch = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not batch:
            break
        n_rows += rows.model._default_manager.filter(pk__in=batch).delete()[0]
    return n_rows
