"""A champion with a reference, and recorded predictions of it, as the recorder writes them."""

import hashlib
from datetime import timedelta
from typing import Any

import pandas as pd
from django.utils import timezone

from core.lib.ids import uuid7
from models_registry.models import ChampionPeriod, ModelVersion
from models_registry.states import VersionState
from predictions.drift import windows
from predictions.models import DriftWatch
from predictions.tasks import look_for_drift
from tests.people import make_user
from tests.registry import make_champion
from tests.unit.predictions.test_ingestion import handle, message
from tests.unit.scoring.drift.made import NAMES, REFERENCE_FILE, SCORE, SPEC, window


def champion(number: int = 1, **values: Any) -> None:
    """`titanic` with a version whose reference is that of `made`."""
    since = values.pop("since", timezone.now() - timedelta(days=30))
    values = {
        "spec_json": SPEC.to_json().decode(),
        "reference_sha256": hashlib.sha256(REFERENCE_FILE).hexdigest(),
        **values,
    }
    period = make_champion(number, make_user(f"approver-{number}", "approver"), **values)
    ChampionPeriod.objects.filter(pk=period.pk).update(since=since)


def ended() -> None:
    """No version of it is champion any more."""
    ChampionPeriod.objects.filter(until=None).update(until=timezone.now())
    ModelVersion.objects.filter(state=VersionState.CHAMPION).update(state=VersionState.RETIRED)


def back(number: int = 1) -> None:
    """That version is champion once more, from now on."""
    version = ModelVersion.objects.get(version=number)
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.CHAMPION)
    before = ChampionPeriod.objects.filter(version=version).latest("pk")
    ChampionPeriod.objects.create(
        model=version.model,
        version=version,
        by=before.by,
        next_attempt_at=None,
        served_sha256=before.served_sha256,
        reference_sha256=before.reference_sha256,
        spec_sha256=before.spec_sha256,
    )


def record(table: pd.DataFrame, *, version: str = "1", **values: Any) -> list[str]:
    """Ids of the rows, each predicted by itself."""
    columns = window(table)
    ids, messages = [], []
    for place in range(len(table)):
        score = columns[SCORE][place]
        id_ = uuid7()
        given = {
            "version": version,
            "inputs": {name: columns[name][place] for name in NAMES},
            "probabilities": {"0": 1 - score, "1": score},
            **values,
        }
        ids.append(str(id_))
        messages.append(message(id_, **given))
    assert handle(messages).dead == []
    return ids


def watch(**key: Any) -> DriftWatch:
    return DriftWatch.objects.get(model="titanic", **{"version": "1", "is_demo": False, **key})


def judge() -> None:
    """What a look and the tasks that it sends do, one after the other."""
    look_for_drift()
    for row in DriftWatch.objects.all():
        while windows.judge_waiting(row.pk):
            pass
