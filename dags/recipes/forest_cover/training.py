"""The steps of `forest_cover_training`: see `common.training`."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from dags.recipes.common import ledger, sources
from dags.recipes.common.ledger import Origin
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.forest_cover import data, features
from dags.recipes.forest_cover import params as names
from dags.recipes.forest_cover.params import Settings
from scoring.spec import Spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

EXPLAINED_ROWS = 50  # deep trees of many classes take a second a row


class ForestCoverTraining(Training):
    """A forest and a support vector machine over what was collected. A row is named by all its values."""

    dag_id = names.TRAINING
    model = names.MODEL
    usecase = names.USECASE

    def take(self, run: DagRun) -> Taken:
        settings = Settings.of(run.params)
        facts: dict[str, str] = {}
        if settings.source == "collected":
            table = data.collected()
            n_batches = ledger.counts(self.usecase)["batch"]
            content = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
            there = ledger.clean_sources(self.usecase, told_as=names.TOLD_AS)
            facts = {"data_via": "api"}
            source = ledger.true_source(there, via="api")
            origin = Origin(source, f"{n_batches} batches of the course API", content)
        else:
            loaded = sources.load(
                settings.source,
                file_name=names.FILE_NAME,
                url="",
                generate=lambda: data.generate(settings.seed),
            )
            table = data.whole(data.read(loaded.data))
            origin = Origin(loaded.data_source, loaded.origin, loaded.sha256)
        table, left_out = data.learnable(table, self.is_held(run, table))
        return Taken(table, origin, rejected=left_out, facts=facts)

    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        return features.fields(table)

    def spec(self, train: pd.DataFrame) -> Spec:
        return features.spec(train)

    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        from dags.recipes.forest_cover import train as candidates

        return candidates.find(spec, train, Settings.of(run.params))

    def shap(
        self, run: DagRun, spec: Spec, model: "Pipeline", train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import any_shap, tree_shap

        seed = Settings.of(run.params).seed
        if "forest" in model.named_steps:
            return tree_shap.summary(spec, model, train, seed=seed, max_rows=EXPLAINED_ROWS)
        return any_shap.summary(spec, model, train, seed=seed)

    def params(self, run: DagRun) -> Mapping[str, Any]:
        settings = asdict(Settings.of(run.params))
        return {name: settings[name] for name in ("source", "n_iter", "cv", "seed", "holdout_share")}


TRAINING = ForestCoverTraining()
