"""A small model that can be served, trained and compiled in a second, and a source that hands it out."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec import structs
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from core.lib.errors import Unavailable
from predictions.serving.callers import Caller, Grant
from predictions.serving.snapshot import ChampionRef
from scoring import features
from scoring.check import CheckError
from scoring.convert import to_onnx
from scoring.originals import Original
from scoring.spec import Spec
from scoring.spec_reading import read_spec

KEY = "ata_test-key"
ROW: dict[str, Any] = {
    "Pclass": 3,
    "Sex": "male",
    "Age": 22,
    "SibSp": 1,
    "Parch": 0,
    "Fare": 7.25,
    "Embarked": "S",
}

SPEC = {
    "task": "classification",
    "title": "Would this passenger have survived?",
    "entity": "passenger",
    "fields": [
        {
            "name": "Pclass",
            "type": "integer",
            "label": "Class",
            "group": "Ticket",
            "choices": {"values": [{"value": n, "label": f"{n}."} for n in (1, 2, 3)]},
        },
        {"name": "Sex", "type": "text", "choices": {"values": [{"value": "male"}, {"value": "female"}]}},
        {
            "name": "Age",
            "type": "number",
            "unit": "years",
            "required": False,
            "nullable": True,
            "min": 0,
            "max": 120,
            "seen": [0.4, 80],
        },
        {"name": "SibSp", "type": "integer", "label": "Siblings", "min": 0, "max": 20, "seen": [0, 8]},
        {"name": "Parch", "type": "integer", "label": "Parents", "min": 0, "max": 20, "seen": [0, 6]},
        {"name": "Fare", "type": "number", "unit": "£", "group": "Ticket", "min": 0, "seen": [0, 512]},
        {
            "name": "Embarked",
            "type": "text",
            "group": "Ticket",
            "required": False,
            "nullable": True,
            "choices": {"values": [{"value": "C"}, {"value": "Q"}, {"value": "S"}], "open": True},
        },
    ],
    "derived": [{"name": "FamilySize", "expression": "SibSp + Parch + 1"}],
    "output": {"labels": [{"value": 0, "label": "Did not survive"}, {"value": 1, "label": "Survived"}]},
    "primary_metric": "accuracy",
    "example": ROW,
}


@dataclass(frozen=True)
class Packed:
    """What the registry would hold of one version."""

    spec_json: str
    onnx: bytes
    reference: bytes
    estimator: Any = None

    def ref(self, *, model: str = "titanic", version: str = "1") -> ChampionRef:
        return ChampionRef(
            model=model,
            version=version,
            run_id="r" * 32,
            sha256=sha256(self.onnx).hexdigest(),
            spec_json=self.spec_json,
            serve_as="onnx",
            reference_sha256=sha256(self.reference).hexdigest(),
            since=datetime(2026, 1, 1, tzinfo=UTC),
        )


@cache
def packed(*, seed: int = 0, n_trees: int = 10, kind: type = int) -> Packed:
    """A forest on made-up passengers; another seed gives another model. kind: of the classes it learns."""
    spec = read_spec(json.dumps(SPEC))
    rows = passengers(300, seed=seed)
    table = features.table(spec, rows)
    label = (rows["Sex"] == "female").to_numpy() ^ (np.random.default_rng(seed).random(len(rows)) < 0.2)
    forest = RandomForestClassifier(n_estimators=n_trees, max_depth=6, random_state=seed)
    model = Pipeline([("prepare", _preparation(spec)), ("forest", forest)]).fit(table, label.astype(kind))
    original = Original(model, spec)
    scores = original.predict(features.frame(spec, rows)).probabilities[:, 1]
    buffer = io.BytesIO()
    rows.assign(label=label.astype(int), score=scores).to_parquet(buffer)
    return Packed(spec.to_json().decode(), to_onnx(original), buffer.getvalue(), model)


def passengers(n_rows: int, *, seed: int) -> pd.DataFrame:
    dice = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "Pclass": dice.integers(1, 4, n_rows),
            "Sex": dice.choice(["male", "female"], n_rows),
            "Age": np.where(dice.random(n_rows) < 0.2, np.nan, dice.integers(1, 80, n_rows)),
            "SibSp": dice.integers(0, 5, n_rows),
            "Parch": dice.integers(0, 5, n_rows),
            "Fare": dice.random(n_rows) * 100,
            "Embarked": dice.choice(["C", "Q", "S"], n_rows),
        }
    )


def _preparation(spec: Spec) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), spec.number_columns),
            ("texts", OneHotEncoder(handle_unknown="ignore"), spec.text_columns),
        ]
    )


def grant(key: str = KEY, **changes: Any) -> Grant:
    """What the database says about the key."""
    caller = {
        "user_id": 7,
        "username": "ana",
        "token_id": 3,
        "scopes": frozenset({"predict"}),
        "expires_at": 4e9,
    }
    return Grant(sha256(key.encode()).hexdigest(), Caller(**(caller | changes)))


def status_of(read: Callable[[], list[Any]]) -> int:
    """200 for rows that are read, else that of the refusal, whose faults are JSON."""
    try:
        found = read()
    except CheckError as error:
        json.dumps(error.errors)
        return error.status
    assert found
    return 200


@dataclass
class FakeSource:
    """A console and an MLflow in memory. `is_away`: neither answers."""

    versions: dict[str, tuple[str, Packed]] = field(default_factory=dict)
    without_champion: list[str] = field(default_factory=lambda: ["unfinished"])
    tokens: list[Grant] = field(default_factory=lambda: [grant()])
    is_away: bool = False
    damaged: set[str] = field(default_factory=set)
    replaced: dict[str, tuple[str, Packed]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    noted: list[tuple[str, str, str, str]] = field(default_factory=list)

    def promote(self, version: str, made: Packed, *, model: str = "titanic") -> ChampionRef:
        if model in self.versions:
            self.replaced[model] = self.versions[model]
        self.versions[model] = (version, made)
        return made.ref(model=model, version=version)

    def grants(self) -> list[Grant]:
        self._answer()
        return self.tokens

    def champions(self) -> list[ChampionRef]:
        self._answer()
        return [made.ref(model=model, version=version) for model, (version, made) in self.versions.items()]

    def before(self, model: str) -> ChampionRef | None:
        self._answer()
        if model not in self.replaced:
            return None
        version, made = self.replaced[model]
        return made.ref(model=model, version=version)

    def model_names(self) -> list[str]:
        self._answer()
        return [*self.versions, *self.without_champion]

    def note_used(self, token_ids: set[int]) -> None:
        self._answer()
        self.used |= token_ids

    def note_serving(self, ref: ChampionRef, error: str, answers: ChampionRef | None) -> None:
        self._answer()
        self.noted.append((ref.model, ref.version, error, answers.version if answers else ""))

    def is_refused(self, ref: ChampionRef) -> bool:
        self._answer()
        return any(
            (model, version) == (ref.model, ref.version) and why for model, version, why, _by in self.noted
        )

    def onnx(self, ref: ChampionRef) -> bytes:
        self._answer()
        content = self._made(ref).onnx
        return content[:-1] if ref.version in self.damaged else content

    def folder(self, ref: ChampionRef, target: Path) -> None:
        raise Unavailable(f"{ref.model} has no folder here")

    def reference(self, ref: ChampionRef) -> bytes:
        self._answer()
        return self._made(ref).reference

    def _made(self, ref: ChampionRef) -> Packed:
        replaced, made = self.replaced.get(ref.model), self.versions[ref.model][1]
        return replaced[1] if replaced is not None and replaced[0] == ref.version else made

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("neither database nor MLflow answers")


__all__ = [
    "KEY",
    "ROW",
    "SPEC",
    "FakeSource",
    "Packed",
    "grant",
    "packed",
    "passengers",
    "status_of",
    "structs",
]
