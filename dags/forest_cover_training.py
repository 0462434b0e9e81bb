"""Train the forest cover model on what was collected.

Two kinds compete: nearest-neighbour imputation, scaling and a support vector machine, its parameters drawn by
random search, and a forest behind plain imputation. The best by cross-validation is measured on rows held out
for ever, explained, registered in MLflow as `forest_cover`, and judged by the console's gate.
"""

from airflow.sdk import dag

from dags.recipes.forest_cover.params import SOURCES, TRAINING, Settings
from dags.steps import by_hand, choice, seed, share_held_out, train, whole

DEFAULTS = Settings()
PARAMS = {
    "source": choice(
        DEFAULTS.source,
        SOURCES,
        "Data",
        "What was collected, the whole file of CONSOLE_DATA_DIR, or generated rows.",
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
    "seed": seed(DEFAULTS.seed),
    "holdout_share": share_held_out(
        DEFAULTS.holdout_share, "Of the rows, chosen by a hash of all their values"
    ),
}


@dag(**by_hand(TRAINING, __doc__, tags=["forest_cover", "training"], params=PARAMS, minutes=30))
def forest_cover_training():
    train("forest_cover.training:TRAINING")


forest_cover_training()
