"""Rows of the registry for tests: plain functions with defaults."""

import hashlib
import json
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from core.access.models import User
from models_registry.models import (
    ChampionPeriod,
    Experiment,
    GateRun,
    MlflowRun,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
)
from models_registry.states import GateState, RequestState, ServeAs, VersionState

SPEC = {
    "task": "classification",
    "title": "Would this passenger survive?",
    "entity": "passenger",
    "fields": [
        {"name": "Pclass", "type": "integer", "label": "Ticket class", "required": True, "min": 1, "max": 3},
        {
            "name": "Age",
            "type": "number",
            "label": "Age",
            "unit": "years",
            "nullable": True,
            "seen": [0.4, 80],
        },
    ],
    "derived": [{"name": "PclassAge", "expression": "Pclass * Age"}],
    "slices": ["Pclass"],
    "output": {"labels": [{"value": 0, "label": "Did not survive"}, {"value": 1, "label": "Survived"}]},
    "primary_metric": "accuracy",
    "example": {"Pclass": 3, "Age": 22},
}
CHECKS = [
    {
        "name": "baseline",
        "verdict": "passed",
        "sentence": "accuracy 0.83 on 179 hold-out rows is better than always answering the commonest class.",
        "value": 0.83,
        "threshold": 0.61,
        "interval": None,
    },
    {
        "name": "champion",
        "verdict": "passed",
        "sentence": "accuracy is better than the champion's by 0.02 (95 % interval -0.005 to 0.04).",
        "value": 0.02,
        "threshold": -0.01,
        "interval": [-0.005, 0.04],
    },
]


def make_user(name: str, *roles: str, **values: Any) -> User:
    """A person with these roles."""
    user = User.objects.create_user(name, password="correct horse battery", **values)
    user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
    return user


def make_model(name: str = "titanic", **values: Any) -> RegisteredModel:
    return RegisteredModel.objects.create(name=name, created_at=timezone.now(), **values)


def make_version(
    number: int = 1,
    *,
    model: RegisteredModel | None = None,
    state: str = VersionState.CANDIDATE,
    **values: Any,
) -> ModelVersion:
    """A version; one that passed carries what the gate writes, and its gate."""
    model = model or RegisteredModel.objects.filter(name="titanic").first() or make_model()
    if state not in {VersionState.CANDIDATE, VersionState.FAILED}:
        values = {
            "serve_as": ServeAs.ONNX,
            "served_sha256": f"{number:064x}",
            "reference_sha256": "a" * 64,
            "size_bytes": 4_100_000,
            "is_conclusive": True,
            "metrics": {"accuracy": 0.82 + number / 1000},
            **values,
        }
    if state == VersionState.ARCHIVED:
        values = {"archived_at": timezone.now(), "archive_reason": "A trial.", **values}
    defaults = {
        "run_id": f"{number:032x}",
        "registered_at": timezone.now(),
        "registered_by": "ana",
        "spec_json": json.dumps(SPEC),
        "primary_metric": "accuracy",
    }
    return ModelVersion.objects.create(model=model, version=number, state=state, **{**defaults, **values})


def judged_hashes(version: ModelVersion) -> dict[str, str]:
    """What a gate would have found, had it judged the version as it is."""
    return {
        "served_sha256": version.served_sha256,
        "reference_sha256": version.reference_sha256,
        "holdout_sha256": version.holdout_sha256,
        "spec_sha256": hashlib.sha256(version.spec_json.encode()).hexdigest(),
    }


def make_gate(version: ModelVersion, by: User, state: str = GateState.PASSED, **values: Any) -> GateRun:
    """A settled gate unless `state` says otherwise."""
    is_open = state in {GateState.REQUESTED, GateState.RUNNING}
    defaults: dict[str, Any] = {"checks": CHECKS, "is_conclusive": True} if not is_open else {}
    if not is_open:
        defaults |= {"next_attempt_at": None, "ended_at": timezone.now(), "seconds": 41.0}
        defaults |= judged_hashes(version)
    return GateRun.objects.create(version=version, requested_by=by, state=state, **{**defaults, **values})


def make_request(
    version: ModelVersion, by: User, state: str = RequestState.REQUESTED, **values: Any
) -> PromotionRequest:
    return PromotionRequest.objects.create(
        version=version,
        requested_by=by,
        state=state,
        **{"reason": "It is better.", **judged_hashes(version), **values},
    )


def make_champion(number: int, by: User, **values: Any) -> ChampionPeriod:
    """A version that is champion, with its open period in the ledger, the alias delivered."""
    version = make_version(number, state=VersionState.CHAMPION, **values)
    RegisteredModel.objects.filter(pk=version.model_id).update(alias_version=number)
    hashes = judged_hashes(version)
    return ChampionPeriod.objects.create(
        model=version.model, version=version, by=by, next_attempt_at=None, **hashes
    )


def make_run(run_id: str = "f" * 32, *, experiment: str = "titanic", **values: Any) -> MlflowRun:
    found, _is_new = Experiment.objects.get_or_create(experiment_id=experiment, defaults={"name": experiment})
    defaults = {"status": "FINISHED", "started_at": timezone.now(), "ended_at": timezone.now()}
    return MlflowRun.objects.create(run_id=run_id, experiment=found, **{**defaults, **values})
