"""The steps of `titanic_training`: see `common.training`."""

import pandas as pd
from sklearn.pipeline import Pipeline

from dags.recipes.common import sources
from dags.recipes.common.ledger import Origin
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.titanic import data, features
from dags.recipes.titanic.params import DAG_ID, FILE_NAME, MODEL, Settings
from scoring.spec import Spec


class TitanicTraining(Training):
    """A forest over the passenger list."""

    dag_id = DAG_ID
    model = MODEL
    usecase = "titanic"
    key = "PassengerId"
    at_least = data.MIN_ROWS

    def take(self, run: DagRun) -> Taken:
        settings = Settings.of(run.params)
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
        self, run: DagRun, spec: Spec, model: Pipeline, train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import tree_shap

        return tree_shap.summary(spec, model, train, seed=Settings.of(run.params).seed)

    def params(self, run: DagRun) -> dict[str, float]:
        settings = Settings.of(run.params)
        return {name: getattr(settings, name) for name in ("n_iter", "cv", "seed", "holdout_share")}


TRAINING = TitanicTraining()
