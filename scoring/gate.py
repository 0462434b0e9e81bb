"""Whether a version may be promoted: arithmetic over what `compile` measured, one sentence for each check."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct, structs

from scoring import schema
from scoring.language import Demand
from scoring.metrics import Measured
from scoring.result import Evaluation, Result
from scoring.spec import ERROR_METRICS, Spec
from scoring.words import grouped

N_DRAWS = 2_000
SEED = 42
CONFIDENCE = 0.95
MARGIN = 0.01  # of a score; of an error it is a share: 1 %
SLICE_MARGIN = 0.05
SLICE_MIN_ROWS = 30
LATENCY_LIMIT_MS = 50.0

NO_CHAMPION = "Skipped: no champion yet."


Outcome = Literal["passed", "failed", "look", "skipped"]


class Check(Struct, frozen=True):
    """verdict "look": it does not fail, and a person has to weigh it."""

    name: str
    verdict: Outcome
    sentence: str
    value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None


class Verdict(NamedTuple):
    has_passed: bool
    is_conclusive: bool


def judge(
    spec: Spec,
    result: Result,
    *,
    champion_spec: Spec | None = None,
    hashes: Mapping[str, tuple[str, str]] | None = None,
    margin: float | None = None,
) -> list[Check]:
    """champion_spec: None where there is no champion, or none that can be read any more.

    hashes: file -> (recorded, found). margin: how far under the champion is still fine.
    """
    checks = [
        *_without_number(result.candidate),
        _against_baseline(spec, result),
        _against_champion(spec, result, MARGIN if margin is None else margin),
        *_demands(spec, result),
        *_slices(spec, result),
        _schema(spec, champion_spec, result),
        _hash(hashes or {}),
        _serves(result),
        _parity(result),
        _latency(result),
    ]
    return [_storable(check) for check in checks]


def _storable(check: Check) -> Check:
    """JSON holds no NaN and no infinity: a number that is none is left out, the sentence stays."""
    numbers = {"value": check.value, "threshold": check.threshold}
    found: dict[str, Any] = {name: None for name, number in numbers.items() if not _is_number(number)}
    if check.interval is not None and not all(map(_is_number, check.interval)):
        found["interval"] = None
    return structs.replace(check, **found) if found else check


def _is_number(number: float | None) -> bool:
    return number is not None and bool(np.isfinite(number))


def verdict(checks: list[Check]) -> Verdict:
    verdicts = {check.verdict for check in checks}
    return Verdict(has_passed="failed" not in verdicts, is_conclusive="look" not in verdicts)


def paired_interval(
    candidate: Measured, champion: Measured, metric: str, *, is_error: bool
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of how much better the candidate is, both on the same drawn rows.

    For an error the difference is relative to the champion's. Draws where the metric is not defined are left
    out; None when it is defined in no draw.
    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    dice = np.random.default_rng(SEED)
    n_rows = len(candidate.truth)
    gains = np.empty(N_DRAWS)
    for draw in range(N_DRAWS):
        rows = dice.integers(0, n_rows, n_rows)
        gains[draw] = _gain(candidate.take(rows).metric(metric), champion.take(rows).metric(metric), is_error)
    defined = gains[np.isfinite(gains)]
    if not len(defined):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def _gain(candidate: float, champion: float, is_error: bool) -> float:
    """How much better; for an error as a share of the champion's, or as it is where that is 0."""
    if not is_error:
        return candidate - champion
    if champion == 0:
        return -candidate
    return (champion - candidate) / champion


def _without_number(candidate: Evaluation) -> list[Check]:
    """A check that fails where the model answers with NaN or infinity, which serving refuses."""
    numbers = candidate.values if candidate.probabilities is None else candidate.probabilities
    rows = np.asarray(numbers, np.float64).reshape(len(candidate.values), -1)
    n_lost = int(np.sum(~np.isfinite(rows).all(axis=1)))
    if not n_lost:
        return []
    sentence = (
        f"The model answers {grouped(n_lost)} of {grouped(len(rows))} hold-out rows with no number;"
        " serving refuses such rows."
    )
    return [Check("numbers", "failed", sentence, value=float(n_lost), threshold=0.0)]


def _against_baseline(spec: Spec, result: Result) -> Check:
    name = spec.primary_metric
    found, trivial = result.candidate.metrics.get(name), result.baseline.metrics.get(name)
    if found is None or trivial is None:
        reason = f"The {name} is not defined on this hold-out of {result.holdout_rows} rows."
        return Check("baseline", "failed", reason, value=found, threshold=trivial)
    is_better = found < trivial if spec.metric_is_error else found > trivial
    words = "better than" if is_better else "not better than"
    model = (
        "always answering the mean" if spec.task == "regression" else "always answering the commonest class"
    )
    rows = f"{grouped(result.holdout_rows)} hold-out rows"
    sentence = f"{name} {_figure(found)} on {rows} is {words} {model} ({_figure(trivial)})."
    return Check("baseline", "passed" if is_better else "failed", sentence, value=found, threshold=trivial)


def _against_champion(spec: Spec, result: Result, margin: float) -> Check:
    if result.champion is None:
        return _no_champion("champion", result)
    candidate = Measured.of(spec, result.truth, result.candidate.outcome())
    champion = Measured.of(spec, result.truth, result.champion.outcome())
    name = spec.primary_metric
    gain = _gain(candidate.metric(name), champion.metric(name), spec.metric_is_error)
    interval = paired_interval(candidate, champion, name, is_error=spec.metric_is_error)
    if interval is None or not np.isfinite(gain):
        return Check(
            "champion", "look", f"The {name} is not defined on this hold-out: a person has to decide."
        )
    low, high = interval
    show = _percent if spec.metric_is_error else _plain
    numbers = (
        f"{name} is {_compared(gain, show)} the champion's "
        f"(95 % interval {show(low)} to {show(high)}, margin {show(margin)})"
    )
    outcome, words = _champion_verdict(low, high, margin)
    return Check(
        "champion", outcome, f"{numbers}: {words}.", value=gain, threshold=-margin, interval=(low, high)
    )


def _champion_verdict(low: float, high: float, margin: float) -> tuple[Outcome, str]:
    if high < -margin:
        return "failed", "worse than the champion"
    if low < -margin:
        return "look", "these rows cannot tell; a person has to decide"
    return "passed", "not worse than the champion"


def _demands(spec: Spec, result: Result) -> list[Check]:
    """What the spec demands beside the general checks; a metric may be held both ways."""
    names = [
        f"{'better' if demand.better_by is not None else 'not_worse'}:{demand.metric}" for demand in spec.gate
    ]
    if result.champion is None:
        return [_no_champion(name, result) for name in names]
    candidate = Measured.of(spec, result.truth, result.candidate.outcome())
    champion = Measured.of(spec, result.truth, result.champion.outcome())
    return [_demand(name, demand, candidate, champion) for name, demand in zip(names, spec.gate, strict=True)]


def _demand(name: str, demand: Demand, candidate: Measured, champion: Measured) -> Check:
    """The gain itself decides, as the demand says it; its interval tells how sure that is."""
    metric, at_least = demand.metric, demand.at_least
    is_error = metric in ERROR_METRICS
    mine, theirs = candidate.metric(metric), champion.metric(metric)
    gain = _gain(mine, theirs, is_error)
    if not np.isfinite(gain):
        return Check(name, "look", f"The {metric} is not defined on this hold-out: a person has to decide.")
    show = _percent if is_error else _plain
    asked = f"at least {show(at_least)} better" if at_least > 0 else f"at most {show(-at_least)} worse"
    interval = paired_interval(candidate, champion, metric, is_error=is_error)
    around = f" (95 % interval {show(interval[0])} to {show(interval[1])})" if interval else ""
    sentence = (
        f"{metric} {_figure(mine)} is {_compared(gain, show)} the champion's {_figure(theirs)}{around}; "
        f"{asked} is demanded."
    )
    return Check(name, _passed(gain >= at_least), sentence, value=gain, threshold=at_least, interval=interval)


def _slices(spec: Spec, result: Result) -> list[Check]:
    if not spec.slices:
        return [Check("slices", "skipped", "Skipped: the spec names no slices.")]
    if result.champion is None:
        return [_no_champion(f"slice:{name}", result) for name in spec.slices]
    return [_slice(spec, name, result.candidate, result.champion) for name in spec.slices]


def _slice(spec: Spec, field: str, candidate: Evaluation, champion: Evaluation) -> Check:
    """The worst value of one field against the champion there."""
    metric = spec.primary_metric
    gains: dict[str, float] = {}
    for value, scores in candidate.slices.get(field, {}).items():
        theirs = champion.slices.get(field, {}).get(value, {})
        if scores["n"] >= SLICE_MIN_ROWS and metric in scores and metric in theirs:
            gains[value] = _gain(scores[metric], theirs[metric], spec.metric_is_error)
    if not gains:
        return Check(f"slice:{field}", "skipped", f"Skipped: no value of {field} has {SLICE_MIN_ROWS} rows.")
    worst = min(gains, key=lambda value: gains[value])
    has_passed = gains[worst] >= -SLICE_MARGIN
    show = _percent if spec.metric_is_error else _plain
    sentence = (
        f"Of {len(gains)} values of {spec.field(field).title} with {SLICE_MIN_ROWS} rows or more, "
        f"{_choice(spec, field, worst)} fares worst: its {metric} is {_compared(gains[worst], show)} "
        f"the champion's (at most {show(SLICE_MARGIN)} worse is allowed)."
    )
    return Check(f"slice:{field}", _passed(has_passed), sentence, value=gains[worst], threshold=-SLICE_MARGIN)


def _figure(value: float) -> str:
    """Four digits; of a large amount all whole ones, since nobody reads 2.648e+05 dollars."""
    return grouped(round(value)) if abs(value) >= 10_000 else f"{value:.4g}"


def _plain(amount: float) -> str:
    return f"{amount:.4g}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _compared(gain: float, show: Callable[[float], str]) -> str:
    return "equal to" if gain == 0 else f"{show(abs(gain))} {'better' if gain > 0 else 'worse'} than"


def _choice(spec: Spec, field: str, value: str) -> str:
    """A slice in the words of the spec."""
    choices = spec.field(field).choices
    known = {str(choice.value): choice.text for choice in choices.values} if choices is not None else {}
    return known.get(value, value)


def _passed(has_passed: bool) -> Outcome:
    return "passed" if has_passed else "failed"


def _no_champion(name: str, result: Result) -> Check:
    return (
        Check(name, "look", result.champion_error)
        if result.champion_error
        else Check(name, "skipped", NO_CHAMPION)
    )


def _schema(spec: Spec, champion: Spec | None, result: Result) -> Check:
    if champion is None:
        return _no_champion("schema", result)
    breaks = schema.breaks(champion, spec)
    if not breaks:
        return Check("schema", "passed", "Whatever the champion takes, this version takes too.", value=0.0)
    return Check(
        "schema", "failed", f"Callers would break: {'; '.join(breaks[:10])}.", value=float(len(breaks))
    )


def _hash(hashes: Mapping[str, tuple[str, str]]) -> Check:
    if not hashes:
        return Check("hash", "skipped", "Skipped: no hash was recorded.")
    different = [name for name, (recorded, found) in hashes.items() if recorded != found]
    if different:
        return Check("hash", "failed", f"Changed since it was recorded: {', '.join(different)}.")
    return Check("hash", "passed", f"As recorded by SHA-256: {', '.join(hashes)}.")


def _serves(result: Result) -> Check:
    """Serving makes the same test with each champion, and would refuse this one."""
    if result.self_test:
        return Check("serves", "failed", f"Serving would refuse it: {result.self_test}.")
    return Check("serves", "passed", "Takes its own reference rows and scores them as training did.")


def _parity(result: Result) -> Check:
    """How it is served, which is for nobody to decide; that it refuses rows which its spec allows is."""
    parity = result.parity
    value, threshold = (parity.max_difference, parity.tolerance) if parity is not None else (None, None)
    how = "Served compiled (ONNX). " if result.serve_as == "onnx" else "Served by a runner. "
    outcome: Outcome = "look" if parity is not None and parity.refused else "passed"
    return Check("parity", outcome, how + result.reason, value=value, threshold=threshold)


def _latency(result: Result) -> Check:
    found = result.latency_p99_ms
    words = "within" if found <= LATENCY_LIMIT_MS else "over"
    sentence = f"One row takes {found:.3g} ms (99th percentile), {words} the {LATENCY_LIMIT_MS:g} ms allowed."
    return Check(
        "latency",
        "passed" if words == "within" else "failed",
        sentence,
        value=found,
        threshold=LATENCY_LIMIT_MS,
    )
