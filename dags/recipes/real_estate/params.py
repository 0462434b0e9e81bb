"""What a run of `real_estate_monitor` may be told. Imported while Airflow parses: standard library only."""

from dataclasses import dataclass

from dags.recipes.common.settings import Told

DAG_ID = "real_estate_monitor"
MODEL = "real_estate"
USECASE = "real_estate"

INPUTS = "inputs of predictions"  # the kind of a batch, in its facts, which came from no service
TOLD_AS = "the service reads"  # the fact of a batch: what the service said of its own data
ID = "prediction_id"  # in a row of such a batch

DAYS = ("Tuesday", "Wednesday")
N_GROUPS = 10


@dataclass(frozen=True)
class Settings(Told):
    """group, day: whose batch is asked for.

    Whether to train: max_rejected, max_new_places: shares of the batch's rows. min_new_rows: since the last
    training; min_rows: of all. psi, wasserstein: the least that counts as drift, the latter in standard
    deviations of what the champion learnt from. n_iter: models tried.
    """

    group: int = 1
    day: str = "Tuesday"
    max_rejected: float = 0.2
    min_new_rows: int = 300
    min_rows: int = 300
    psi: float = 0.25
    wasserstein: float = 0.25
    max_new_places: float = 0.1
    n_iter: int = 2
    seed: int = 42
    holdout_share: float = 0.2
