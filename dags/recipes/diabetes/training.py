"""The steps of `diabetes_training`: see `common.training`. Each run learns from all rows taken so far."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from dags.recipes.common import decisions, ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.decisions import Criterion, Decision
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.diabetes import features
from dags.recipes.diabetes.params import MODEL, TRAINING_DAG_ID, USECASE, TrainingSettings
from scoring.spec import Spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class DiabetesTraining(Training):
    """Three kinds of model compete; the test part of the split is the frozen hold-out."""

    dag_id = TRAINING_DAG_ID
    model = MODEL
    usecase = USECASE
    key = features.KEY

    def next_batch(self, run: DagRun) -> dict[str, Any]:
        """Move on by one batch, and keep the decision whether there is anything to train on."""
        settings = TrainingSettings.of(run.params)
        if ledger.newest_origin(USECASE) is None:
            raise DataInvalid("There are no rows yet: run diabetes_data first.")
        batch = ledger.next_training_batch(
            USECASE, run=run, size=settings.batch_size, restart=settings.restart
        )
        n_new = batch.last - batch.first if batch else 0
        sentence = (
            f"Batch {batch.number} brings {n_new:,} rows; {batch.last:,} are taken with it."
            if batch
            else "All rows were taken by earlier runs. Run with “Begin again” to start at the first one."
        )
        criterion = Criterion("new rows", n_new > 0, sentence, value=float(n_new), threshold=1.0)
        decisions.decide(
            USECASE, Decision("train", is_yes=n_new > 0, reason=sentence, criteria=[criterion]), run=run
        )
        info = {"number": batch.number, "first": batch.first, "last": batch.last} if batch else None
        run.folder.write_json("batch_info.json", info)
        return {"goes_on": batch is not None, "batch_info": info}

    def take(self, run: DagRun) -> Taken:
        info = run.folder.read_json("batch_info.json")
        origin = ledger.newest_origin(USECASE)
        if info is None or origin is None:
            raise DataInvalid("No batch was taken.")
        train = ledger.clean_rows(USECASE, part="train", last=info["last"])
        others = [ledger.clean_rows(USECASE, part=part) for part in ("validation", "test")]
        return Taken(pd.concat([train, *others], ignore_index=True), origin)

    def split(self, run: DagRun) -> dict[str, Any]:
        """The parts that `diabetes_data` has fixed: to learn from, to choose by, to be judged on."""
        table = run.folder.read_table("rows.parquet")
        files = {"train": "train_rows", "validation": "validation_rows", "test": "holdout_rows"}
        counts = {}
        for part, name in files.items():
            rows = table[table["part"] == part]
            run.folder.write_table(f"{name}.parquet", rows)
            counts[name] = len(rows)
        say(", ".join(f"{name} {n:,}" for name, n in counts.items()) + ".")
        return counts

    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        return features.fields(table)

    def spec(self, train: pd.DataFrame) -> Spec:
        return features.spec(train)

    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        from dags.recipes.diabetes import train as models

        settings = TrainingSettings.of(run.params)
        validation = features.fields(run.folder.read_table("validation_rows.parquet"))
        return models.search(spec, train, validation, n_trees=settings.n_trees, seed=settings.seed)

    def shap(
        self, run: DagRun, spec: Spec, model: "Pipeline", train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import tree_shap

        return tree_shap.summary(spec, model, train, seed=TrainingSettings.of(run.params).seed)

    def params(self, run: DagRun) -> dict[str, Any]:
        info = run.folder.read_json("batch_info.json")
        settings = TrainingSettings.of(run.params)
        return {
            "batch": info["number"],
            "rows_taken": info["last"],
            "batch_size": settings.batch_size,
            "seed": settings.seed,
        }


TRAINING = DiabetesTraining()
