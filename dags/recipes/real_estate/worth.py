"""Whether a batch is worth training on: grounds with numbers, and the decision in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd

from dags.recipes.common.checks import records
from dags.recipes.common.decisions import Criterion, Decision
from dags.recipes.real_estate.params import MODEL, Settings
from scoring.drift import reference as references
from scoring.drift.judge import judge
from scoring.drift.shapes import ColumnJudgement, Limits
from scoring.spec import Spec
from scoring.words import grouped

PLACES = ("state", "city", "zip_prefix")
NAMED = 3
LEAST_ROWS = 30  # of a batch, to speak of drift


@dataclass(frozen=True)
class Came:
    """What a run brought. rows: fields and `label` of those that fit; n_new: of them, not there before.

    n_waiting: rows that came since the last training, these too; n_rows: all rows to learn from.
    """

    rows: pd.DataFrame
    n_new: int
    n_rejected: int
    n_waiting: int
    n_rows: int
    over: str = ""  # the service's words, when it had nothing more to give

    @property
    def share_rejected(self) -> float:
        n = len(self.rows) + self.n_rejected
        return self.n_rejected / n if n else 0.0


@dataclass(frozen=True)
class Learnt:
    """The champion, and the rows that it learnt from: fields and `label`."""

    version: int
    spec: Spec
    rows: pd.DataFrame


def decide(came: Came, champion: Learnt | None, settings: Settings) -> Decision:
    """Train a sound batch when enough has come and there is a ground: no champion, drift, new places."""
    needed = [_quality(came, settings), _new_rows(came), _volume(came, settings), _rows(came, settings)]
    grounds = _grounds(came, champion, settings) if came.n_new else []
    lacking = [criterion for criterion in needed if not criterion.passed]
    speaking = [criterion for criterion in grounds if criterion.passed]
    if came.over:
        reason = f"Not trained: the service has given all that there is ({came.over})."
    elif lacking:
        reason = "Not trained: " + " ".join(criterion.sentence for criterion in lacking)
    elif speaking:
        reason = "Trained: " + " ".join(criterion.sentence for criterion in speaking)
    else:
        reason = "Not trained: " + " ".join(criterion.sentence for criterion in grounds)
    return Decision(
        kind="train",
        is_yes=not came.over and not lacking and bool(speaking),
        reason=reason,
        criteria=[*needed, *grounds],
        model=MODEL,
        champion_version=champion.version if champion else None,
    )


def _quality(came: Came, settings: Settings) -> Criterion:
    share, limit = came.share_rejected, settings.max_rejected
    n = len(came.rows) + came.n_rejected
    sentence = (
        f"{grouped(came.n_rejected)} of {grouped(n)} rows were rejected"
        f" ({_percent(share)}; at most {_percent(limit)} is fine)."
    )
    return Criterion("quality", share <= limit, sentence, share, limit)


def _new_rows(came: Came) -> Criterion:
    sentence = f"{grouped(came.n_new)} rows of this batch were not there before."
    return Criterion("new rows", came.n_new > 0, sentence, came.n_new, 1)


def _volume(came: Came, settings: Settings) -> Criterion:
    least = settings.min_new_rows
    sentence = (
        f"{grouped(came.n_waiting)} new rows have come since the last training; {grouped(least)} are enough."
    )
    return Criterion("volume", came.n_waiting >= least, sentence, came.n_waiting, least)


def _rows(came: Came, settings: Settings) -> Criterion:
    n, least = grouped(came.n_rows), grouped(settings.min_rows)
    sentence = f"There are {n} rows to learn from; at least {least} are needed."
    return Criterion("all rows", came.n_rows >= settings.min_rows, sentence, came.n_rows, settings.min_rows)


def _grounds(came: Came, champion: Learnt | None, settings: Settings) -> list[Criterion]:
    if champion is None:
        return [Criterion("no champion", True, "There is no champion yet.")]
    is_there = Criterion("no champion", False, f"Version {champion.version} is champion.")
    return [is_there, *_drift(came.rows, champion, settings), _new_places(came.rows, champion, settings)]


def _drift(rows: pd.DataFrame, champion: Learnt, settings: Settings) -> list[Criterion]:
    """Of each field and of the price. Cities are left out: hundreds of them, most with a row or two."""
    reference = references.summary(champion.spec, _columns(champion.spec, champion.rows), len(champion.rows))
    kept = [column for column in reference.columns if column.name != "city"]
    limits = Limits(
        min_n=LEAST_ROWS, wasserstein=settings.wasserstein, psi=settings.psi, score_psi=settings.psi
    )
    judged = judge(msgspec.structs.replace(reference, columns=kept), _columns(champion.spec, rows), limits)
    return [
        _drifted("psi", "PSI", judged.columns, settings.psi),
        _drifted("wasserstein", "Wasserstein distance", judged.columns, settings.wasserstein),
    ]


def _columns(spec: Spec, rows: pd.DataFrame) -> dict[str, list[object]]:
    """As the arithmetic of drift takes them; the price stands where it expects the score."""
    told = records(rows)
    names = {field.name: field.name for field in spec.fields} | {spec.score_column: spec.label_column}
    return {name: [row.get(source) for row in told] for name, source in names.items()}


def _drifted(measure: str, title: str, columns: Sequence[ColumnJudgement], limit: float) -> Criterion:
    """By one measure: an effect beyond the limit counts where it is significant as well."""
    found = {
        "price" if column.is_score else column.title: value
        for column in columns
        if (value := getattr(column, measure)) is not None
    }
    sure = {"price" if column.is_score else column.title for column in columns if _is_sure(column)}
    by_size = sorted(found.items(), key=lambda item: -item[1])
    moved = [(name, value) for name, value in by_size if value >= limit and name in sure]
    worst = by_size[0][1] if by_size else None
    if not by_size:
        return Criterion(title, False, f"{title}: too few rows to compare.", None, limit)
    if not moved:
        told = f"{by_size[0][0]} moved most, {worst:.3g} by {title} (from {limit:g} on it counts)."
        return Criterion(title, False, told, worst, limit)
    listed = ", ".join(f"{name} {value:.3g}" for name, value in moved[:NAMED])
    more = f" and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
    sentence = (
        f"The batch differs from what the champion learnt from, by {title}: {listed}{more} (limit {limit:g})."
    )
    return Criterion(title, True, sentence, worst, limit)


def _is_sure(column: ColumnJudgement) -> bool:
    return any(check.what == "distribution" and check.p_adjusted <= Limits().alpha for check in column.checks)


def _new_places(rows: pd.DataFrame, champion: Learnt, settings: Settings) -> Criterion:
    is_new = pd.Series(False, index=rows.index)
    for name in PLACES:
        is_new |= ~rows[name].isin(champion.rows[name])
    share, limit = float(is_new.mean()) if len(rows) else 0.0, settings.max_new_places
    states = sorted(set(rows["state"].dropna()) - set(champion.rows["state"]))
    which = f", among them the states {', '.join(states[:NAMED])}" if states else ""
    sentence = (
        f"{_percent(share)} of the rows lie where the champion learnt nothing{which}"
        f" (limit {_percent(limit)})."
    )
    return Criterion("new places", share > limit, sentence, share, limit)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
