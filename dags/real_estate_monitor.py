"""Judge a batch of listings, and train the house prices' model where that is worth it.

One run makes one request for one batch. Rows that do not fit are set apart with their reasons, the others
kept once for ever. From the data the run decides, in words, whether to train: is the batch sound, has enough
come since the last training, and is there a ground, such as no champion yet, drift against what the champion
learnt from, or places that it never saw. A run that does not train has succeeded all the same. What is
trained goes to the console's gate, and what passes is proposed for promotion or goes live, as the policy of
the model says.
"""

from airflow.sdk import Param, dag, task

from dags.recipes.real_estate.params import DAG_ID, DAYS, N_GROUPS, Settings
from dags.steps import RUN, by_hand, choice, seed, share_held_out, step, train, whole

DEFAULTS = Settings()
WHERE = "real_estate.monitor:MONITOR"


def _share(default: float, title: str, description: str) -> Param:
    return Param(default, type="number", minimum=0, maximum=1, title=title, description=description)


def _effect(default: float, title: str, description: str) -> Param:
    return Param(default, type="number", minimum=0, maximum=100, title=title, description=description)


def _rows(default: int, title: str, description: str) -> Param:
    return Param(default, type="integer", minimum=1, maximum=10_000_000, title=title, description=description)


@task.short_circuit
def worth_it(decided):
    """Whether the steps after this one run; the decision has its reason."""
    return decided["train"]


PARAMS = {
    "group": whole(
        DEFAULTS.group,
        1,
        N_GROUPS,
        "Group",
        "Whose batches the data service gives; each group starts from the first one.",
    ),
    "day": choice(DEFAULTS.day, DAYS, "Day", "The days have batches of their own."),
    "max_rejected": _share(
        DEFAULTS.max_rejected,
        "Most rejected",
        "Share of a batch's rows that may not fit; with more, nothing is trained.",
    ),
    "min_new_rows": _rows(
        DEFAULTS.min_new_rows,
        "New rows",
        "That must have come since the last training; fewer wait for the next batch.",
    ),
    "min_rows": _rows(DEFAULTS.min_rows, "Rows", "To learn from, of all batches together."),
    "psi": _effect(
        DEFAULTS.psi,
        "PSI limit",
        "From this stability index on a field counts as drifted; customary are 0.1 and 0.25.",
    ),
    "wasserstein": _effect(
        DEFAULTS.wasserstein,
        "Wasserstein limit",
        "From this distance on, in standard deviations, a number counts as drifted.",
    ),
    "max_new_places": _share(
        DEFAULTS.max_new_places,
        "New places",
        "Share of rows in places unknown to the champion; more are a ground to train.",
    ),
    "n_iter": whole(
        DEFAULTS.n_iter,
        1,
        12,
        "Models to try",
        "Combinations of the grid, drawn with the seed and compared on rows kept apart.",
    ),
    "seed": seed(DEFAULTS.seed),
    "holdout_share": share_held_out(
        DEFAULTS.holdout_share, "Of the houses, chosen by a hash of street, city and ZIP code"
    ),
}


# One run at once: what it decides rests on what the one before has kept.
@dag(**by_hand(DAG_ID, __doc__, tags=["real_estate", "training", "drift"], params=PARAMS, retries=2))
def real_estate_monitor():
    decided = step(f"{WHERE}.decide")(RUN)
    step(f"{WHERE}.inputs")(RUN)
    step(f"{WHERE}.fetch")(RUN) >> step(f"{WHERE}.validate")(RUN) >> step(f"{WHERE}.keep")(RUN) >> decided
    train(WHERE, after=worth_it(decided), leaves_out=["validate"])


real_estate_monitor()
