"""What a run has decided, whether to train or whether what it trained goes live, and on which grounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2.extras import Json

from dags.recipes.common import database
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun


@dataclass(frozen=True)
class Criterion:
    """One ground of a decision; `sentence` says it in words. passed: None where it settles nothing."""

    name: str
    passed: bool | None
    sentence: str
    value: float | str | None = None
    threshold: float | str | None = None


@dataclass(frozen=True)
class Decision:
    """kind: `train`, `promote` or `clear`, whether to; the rest as in usecases.models.Decision."""

    kind: str
    is_yes: bool
    reason: str
    criteria: Sequence[Criterion] = ()
    model: str = ""
    version: int | None = None
    champion_version: int | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shap: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def decide(usecase: str, decision: Decision, *, run: DagRun) -> None:
    """Keep a decision; a step that is tried again writes it anew."""
    values = {
        "usecase": usecase,
        "kind": decision.kind,
        "is_yes": decision.is_yes,
        "reason": decision.reason,
        "criteria": Json([vars(criterion) for criterion in decision.criteria]),
        "model": decision.model,
        "version": decision.version,
        "champion_version": decision.champion_version,
        "metrics": Json(decision.metrics),
        "shap": Json(decision.shap),
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "at": database.now(),
    }
    anew = ", ".join(f"{name} = EXCLUDED.{name}" for name in values)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"{database.insert('decision', values)}"
            f" ON CONFLICT (usecase, dag_run_id, kind) DO UPDATE SET {anew}",
            values,
        )
    say(f"Decided: {decision.kind} {'yes' if decision.is_yes else 'no'}. {decision.reason}")
