"""Train the forest cover model on what was collected.

Two kinds compete: nearest-neighbour imputation, scaling and a support vector machine, its parameters drawn by
random search, and a forest behind plain imputation. The best by cross-validation is measured on rows held out
for ever, explained, registered in MLflow as `forest_cover`, and judged by the console's gate.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from dags.recipes.forest_cover.params import SOURCES, TRAINING, Settings
from dags.steps import RUN, step

DEFAULTS = Settings()


def whole(default, low, high, title, description):
    return Param(default, type="integer", minimum=low, maximum=high, title=title, description=description)


@dag(
    dag_id=TRAINING,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["forest_cover", "training"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=30),
    },
    params={
        "source": Param(
            DEFAULTS.source,
            type="string",
            enum=list(SOURCES),
            title="Data",
            description="What was collected, the whole file of CONSOLE_DATA_DIR, or generated rows.",
        ),
        "n_estimators": whole(DEFAULTS.n_estimators, 10, 300, "Trees", "Of the forest."),
        "max_depth": whole(DEFAULTS.max_depth, 2, 30, "Depth", "Of a tree, at most."),
        "n_iter": whole(
            DEFAULTS.n_iter,
            0,
            18,
            "Support vector machines to try",
            "Parameters drawn with the seed; 0: none.",
        ),
        "svc_rows": whole(
            DEFAULTS.svc_rows,
            500,
            10_000,
            "Rows they learn from",
            "At most: their time grows with the square.",
        ),
        "cv": whole(DEFAULTS.cv, 2, 10, "Folds", "Of the cross-validation."),
        "seed": whole(
            DEFAULTS.seed, 0, 2**31 - 1, "Seed", "Of every draw: the same seed and data give the same model."
        ),
        "holdout_share": Param(
            DEFAULTS.holdout_share,
            type="number",
            minimum=0.1,
            maximum=0.4,
            title="Share held out",
            description="Of the rows, chosen by a hash of all their values: never trained on.",
        ),
    },
)
def forest_cover_training():
    run = {
        name: step(f"forest_cover.training:TRAINING.{name}")
        for name in (
            "load",
            "validate",
            "split",
            "features",
            "search",
            "evaluate",
            "explain",
            "register",
            "gate",
        )
    }
    searched = run["search"](RUN)
    registered = run["register"](RUN)
    run["load"](RUN) >> run["validate"](RUN) >> run["split"](RUN) >> run["features"](RUN) >> searched
    searched >> [run["evaluate"](RUN), run["explain"](RUN)] >> registered
    run["gate"](RUN, registered)


forest_cover_training()
