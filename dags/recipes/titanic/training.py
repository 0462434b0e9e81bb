"""The steps of `titanic_training`: see `common.training`."""

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pandas as pd

from dags.recipes.common import feature_store, ledger, sources
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.feature_store import Damaged, Features, FeatureStore, NotThere, Version
from dags.recipes.common.ledger import Origin
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.titanic import data, features
from dags.recipes.titanic.params import DAG_ID, ENTITY, FILE_NAME, KEY, MODEL, USECASE, Settings
from scoring.spec import Spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class TitanicTraining(Training):
    """A forest over the passenger list."""

    dag_id = DAG_ID
    model = MODEL
    usecase = USECASE
    key = KEY
    at_least = data.MIN_ROWS

    def take(self, run: DagRun) -> Taken:
        settings = Settings.of(run.params)
        if settings.source == "features" or (settings.source == "auto" and has_features(settings)):
            return from_store(feature_store.connect(), settings.features_version)
        loaded = sources.load(
            settings.source,
            file_name=FILE_NAME,
            url=settings.url,
            generate=lambda: data.generate(settings.seed),
        )
        return Taken(data.read(loaded.data), Origin(loaded.data_source, loaded.origin, loaded.sha256))

    def check(self, table: pd.DataFrame) -> None:
        data.validate(table)

    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        return features.fields(table)

    def spec(self, train: pd.DataFrame) -> Spec:
        return features.spec(train)

    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        from dags.recipes.titanic import train as forests

        settings = Settings.of(run.params)
        return forests.search(spec, train, n_iter=settings.n_iter, cv=settings.cv, seed=settings.seed)

    def shap(
        self, run: DagRun, spec: Spec, model: "Pipeline", train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import tree_shap

        return tree_shap.summary(spec, model, train, seed=Settings.of(run.params).seed)

    def params(self, run: DagRun) -> dict[str, float]:
        settings = Settings.of(run.params)
        return {name: getattr(settings, name) for name in ("n_iter", "cv", "seed", "holdout_share")}


def has_features(settings: Settings) -> bool:
    """Whether there is a feature store with passengers in it. Raises StoreAway when it does not answer."""
    if not os.environ.get("ATALAYA_FEATURES_URL"):
        return False
    try:
        return _version(feature_store.connect(), settings.features_version).n_rows > 0
    except NotThere:
        return False


def from_store(store: FeatureStore, name: str) -> Taken:
    """Every passenger of a version, the newest unless one is named.

    Raises NotThere, DataInvalid, StoreAway.
    """
    version = _version(store, name)
    wanted = {column: features.SCHEMA[column] for column in [*features.FIELDS, "Survived"]}
    if different := [column for column, kind in wanted.items() if version.schema.get(column) != kind]:
        raise DataInvalid(
            f"Version {version.version} of {ENTITY} in the feature store has not what this model learns from:"
            f" {', '.join(different)}."
        )
    read = store.rows(ENTITY, store.ids(ENTITY, version.version), version=version.version)
    found = [row for row in read if isinstance(row, Features)]
    n_damaged = sum(isinstance(row, Damaged) for row in read)
    if n_damaged > len(found):
        raise DataInvalid(
            f"{n_damaged} of {len(read)} rows in version {version.version} of {ENTITY} cannot be read: have"
            " titanic_etl write them anew."
        )
    rows = sorted(({KEY: int(row.id), **row.values} for row in found), key=lambda row: row[KEY])
    digest = sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    told = str(version.facts.get("data_source", ""))  # one or several, with commas
    facts = {"data_via": "features", "features_version": version.version, "features_from": told}
    source = ledger.true_source(told.split(", "), via="features")
    origin = Origin(source, f"{ENTITY} version {version.version}", digest)
    rejected = f"{n_damaged} rows of the feature store cannot be read" if n_damaged else ""
    return Taken(pd.DataFrame(rows, columns=[KEY, *wanted]), origin, rejected=rejected, facts=facts)


def _version(store: FeatureStore, name: str) -> Version:
    return store.version(ENTITY, name) if name else store.newest(ENTITY)


TRAINING = TitanicTraining()
