"""What the search of the page shell finds of pipelines: by name, and runs and backfills by number."""

import re

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from core.access.models import User
from core.lib.hits import Hit
from pipelines import listing
from pipelines.backfill_queries import backfills
from pipelines.models import AlertRule, Run
from pipelines.queries import assets

HITS = 8
HIT_RUNS = 3
SHORTEST_ID = 4
_RUN_NUMBER = re.compile(r"(?:run )?#?([0-9]{1,15})", re.IGNORECASE)
_BACKFILL_NUMBER = re.compile(r"(?:backfill )?#?([0-9]{1,15})", re.IGNORECASE)


def search(text: str, _user: User) -> list[Hit]:
    """Pipelines by name, and runs by their number or the start of their id."""
    hits = [
        Hit(row.dag_id, reverse("pipelines:pipeline-detail", args=[row.dag_id]), _("pipeline"), "pipelines")
        for row in listing.narrowed(listing.Wanted(text=text))[:HITS]
    ]
    return [*hits[: HITS - HIT_RUNS], *_run_hits(text)][:HITS]


def _run_hits(text: str) -> list[Hit]:
    """By our number ("17", "run 17"), or by the start of Airflow's id."""
    number = _RUN_NUMBER.fullmatch(text)
    if number:
        found = Run.objects.filter(pk=int(number[1]))
    elif len(text) >= SHORTEST_ID:
        found = Run.objects.filter(dag_run_id__startswith=text).order_by("-created_at", "-pk")
    else:
        return []
    return [
        Hit(
            _("Run %(id)s of %(name)s") % {"id": row.pk, "name": row.dag_id},
            reverse("pipelines:run-detail", args=[row.pk]),
            _("run"),
            "clock",
        )
        for row in found[:HIT_RUNS]
    ]


def search_assets(text: str, _user: User) -> list[Hit]:
    """Assets by name or address."""
    return [
        Hit(row.name, reverse("pipelines:asset-detail", args=[row.pk]), _("asset"), "pipelines")
        for row in assets(text=text)[:HITS]
    ]


def search_alert_rules(text: str, _user: User) -> list[Hit]:
    """Alert rules that name such pipelines."""
    return [
        Hit(f"{row.pattern}: {row.get_kind_display()}", row.get_absolute_url(), _("alert rule"), "bell")
        for row in AlertRule.objects.filter(pattern__icontains=text)[:HITS]
    ]


def search_backfills(text: str, _user: User) -> list[Hit]:
    """By number ("12", "backfill 12"), or by what their pipelines' names hold; newest first."""
    number = _BACKFILL_NUMBER.fullmatch(text)
    found = backfills().filter(Q(pk=int(number[1])) if number else Q(dag_id__icontains=text))
    return [
        Hit(
            _("Backfill %(id)s of %(name)s") % {"id": row.pk, "name": row.dag_id},
            row.get_absolute_url(),
            _("backfill"),
            "pipelines",
        )
        for row in found[:HIT_RUNS]
    ]
