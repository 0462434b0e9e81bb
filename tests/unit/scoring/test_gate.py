"""The gate: each verdict, and its interval against scipy's."""

from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from scoring import gate, metrics
from scoring.convert import Parity
from scoring.gate import Check, Verdict
from scoring.metrics import Measured
from scoring.result import Evaluation, Result
from scoring.score import Outcome
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.unit.scoring import specs


def classifier_outcome(right: np.ndarray, truth: np.ndarray) -> Outcome:
    values = np.where(right, truth, 1 - truth)
    return Outcome(values, np.column_stack([1 - values, values]) * 0.8 + 0.1)


def evaluation(spec: Spec, truth: np.ndarray, outcome: Outcome, slices: dict[str, list[str]]) -> Evaluation:
    shares = None if outcome.probabilities is None else outcome.probabilities.tolist()
    scores = metrics.evaluate(spec, truth, outcome)
    return Evaluation(outcome.values.tolist(), shares, scores, metrics.by_slice(spec, truth, outcome, slices))


def result(
    spec: Spec, truth: np.ndarray, candidate: Outcome, champion: Outcome | None, **changes: Any
) -> Result:
    """A result over these rows; rows alternate between two slices of 'female' and 'male'."""
    slices = {name: ["female" if i % 2 else "male" for i in range(len(truth))] for name in spec.slices}
    made = Result(
        serve_as="onnx",
        reason="They agree.",
        sha256="ab",
        parity=Parity(10, 1e-7, 0, 1e-5),
        holdout_rows=len(truth),
        holdout_sha256="cd",
        truth=truth.tolist(),
        slices=slices,
        candidate=evaluation(spec, truth, candidate, slices),
        baseline=evaluation(spec, truth, metrics.baseline(spec, truth, len(truth)), slices),
        champion=None if champion is None else evaluation(spec, truth, champion, slices),
        champion_error="",
        latency_p50_ms=0.03,
        latency_p99_ms=0.05,
        library_versions={},
    )
    return msgspec.structs.replace(made, **changes)


def as_read(made: Result) -> Result:
    """As it comes out of the sandbox."""
    return msgspec.json.decode(msgspec.json.encode(made), type=Result)


def checks(spec: Spec, made: Result, **options: Any) -> dict[str, Check]:
    return {check.name: check for check in gate.judge(spec, made, **options)}


SPEC = specs.titanic(slices=["Sex"])
TRUTH = np.tile([0, 0, 0, 1], 75)  # the majority has 0.75
DICE = np.random.default_rng(9)


def right(share: float) -> np.ndarray:
    """Exactly this share of the rows, spread by chance."""
    return DICE.permutation(np.arange(len(TRUTH)) < round(share * len(TRUTH)))


def test_first_version_is_judged_without_a_champion():
    found = checks(SPEC, result(SPEC, TRUTH, classifier_outcome(right(0.9), TRUTH), None))
    assert {name: check.verdict for name, check in found.items()} == {
        "baseline": "passed", "champion": "skipped", "slice:Sex": "skipped", "schema": "skipped",
        "hash": "skipped", "serves": "passed", "parity": "passed", "latency": "passed",
    }  # fmt: skip
    assert found["champion"].sentence == "Skipped: no champion yet."
    assert found["baseline"].value == pytest.approx(0.9)
    assert found["baseline"].threshold == pytest.approx(0.75)
    assert gate.verdict(list(found.values())) == Verdict(has_passed=True, is_conclusive=True)


@pytest.mark.parametrize("share", [0.75, 0.6])
def test_no_better_than_the_majority_fails(share):
    found = checks(SPEC, result(SPEC, TRUTH, classifier_outcome(right(share), TRUTH), None))
    assert found["baseline"].verdict == "failed"
    assert "not better than always answering the commonest class (0.75)" in found["baseline"].sentence
    assert not gate.verdict(list(found.values())).has_passed


@pytest.mark.parametrize(
    ("candidate", "champion", "verdict"),
    [(0.95, 0.80, "passed"), (0.80, 0.95, "failed"), (0.90, 0.90, "look")],
)
def test_candidate_against_champion(candidate, champion, verdict):
    outcomes = (classifier_outcome(right(share), TRUTH) for share in (candidate, champion))
    check = checks(SPEC, result(SPEC, TRUTH, *outcomes))["champion"]
    assert check.verdict == verdict
    assert check.value == pytest.approx(candidate - champion)
    assert check.interval[0] <= check.value <= check.interval[1]


def test_inconclusive_version_passes_and_waits_for_a_person():
    outcomes = [classifier_outcome(right(0.9), TRUTH) for _ in range(2)]
    found = gate.judge(SPEC, result(SPEC, TRUTH, *outcomes, slices={"Sex": ["x"] * 300}))
    kept = [check for check in found if not check.name.startswith("slice")]
    assert gate.verdict(kept) == Verdict(has_passed=True, is_conclusive=False)


def test_interval_of_accuracy_is_scipy_s():
    candidate, champion = right(0.85), right(0.80)
    low, high = gate.paired_interval(
        Measured.of(SPEC, TRUTH, classifier_outcome(candidate, TRUTH)),
        Measured.of(SPEC, TRUTH, classifier_outcome(champion, TRUTH)),
        "accuracy",
        is_error=False,
    )
    expected = stats.bootstrap(
        (candidate, champion),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, vectorized=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # two draws of dice: the end of an interval of 2,000 draws has a standard error near 0.002 here
    assert (low, high) == pytest.approx(expected, abs=0.006)


def test_interval_of_an_error_is_relative_and_scipy_s():
    truth = DICE.normal(100, 20, 400)
    candidate, champion = truth + DICE.normal(0, 9, 400), truth + DICE.normal(0, 10, 400)
    spec = specs.house(slices=[])
    low, high = gate.paired_interval(
        Measured.of(spec, truth, Outcome(candidate, None)),
        Measured.of(spec, truth, Outcome(champion, None)),
        "mae",
        is_error=True,
    )
    errors = np.abs(candidate - truth), np.abs(champion - truth)
    expected = stats.bootstrap(
        errors,
        lambda a, b, axis: 1 - a.mean(axis=axis) / b.mean(axis=axis),
        paired=True, vectorized=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx(expected, abs=0.012)


def test_error_that_is_much_larger_fails_and_is_shown_in_per_cent():
    truth = DICE.normal(100, 20, 400)
    spec = specs.house(slices=[])
    outcomes = [Outcome(truth + DICE.normal(0, sigma, 400), None) for sigma in (15, 10)]
    check = checks(spec, result(spec, truth, *outcomes))["champion"]
    assert check.verdict == "failed"
    assert "% worse than the champion's" in check.sentence
    assert check.threshold == -0.01


def test_slice_that_fares_worse_fails_though_the_whole_is_better():
    is_female = np.arange(300) % 2 == 1
    champion = classifier_outcome(right(0.8), TRUTH)
    worse_for_women = np.where(is_female, np.arange(300) % 10 < 6, True)
    check = checks(SPEC, result(SPEC, TRUTH, classifier_outcome(worse_for_women, TRUTH), champion))[
        "slice:Sex"
    ]
    assert check.verdict == "failed"
    assert "female fares worst" in check.sentence
    assert check.threshold == -0.05


def test_small_slices_are_not_judged():
    truth = np.tile([0, 1], 20)
    outcome = classifier_outcome(np.ones(40, dtype=bool), truth)
    check = checks(SPEC, result(SPEC, truth, outcome, outcome))["slice:Sex"]
    assert check.verdict == "skipped"
    assert check.sentence == "Skipped: no value of Sex has 30 rows."


def test_schema_hash_latency_and_runner_have_their_say():
    outcome = classifier_outcome(right(0.9), TRUTH)
    made = result(
        SPEC, TRUTH, outcome, outcome, serve_as="runner", parity=None, latency_p99_ms=80.0, reason="No."
    )
    narrower = specs.titanic_plain(slices=["Sex"])
    narrower["fields"][2] |= {"required": True}
    found = checks(
        read_spec(msgspec.json.encode(narrower)),
        made,
        champion_spec=SPEC,
        hashes={"model.onnx": ("a", "a"), "holdout.parquet": ("a", "b")},
    )
    assert found["schema"].verdict == "failed"
    assert found["schema"].sentence == "Callers would break: Age is now required."
    assert found["hash"].verdict == "failed"
    assert found["hash"].sentence == "Changed since it was recorded: holdout.parquet."
    assert found["latency"].verdict == "failed"
    assert found["latency"].sentence == "One row takes 80 ms (99th percentile), over the 50 ms allowed."
    assert found["parity"].verdict == "passed"
    assert found["parity"].sentence == "Served by a runner. No."


def test_what_serving_would_refuse_fails_the_gate():
    outcome = classifier_outcome(right(0.9), TRUTH)
    found = checks(SPEC, result(SPEC, TRUTH, outcome, None, self_test="its reference has no rows"))
    assert found["serves"].verdict == "failed"
    assert found["serves"].sentence == "Serving would refuse it: its reference has no rows."


def test_an_original_that_refuses_rows_which_its_spec_allows_is_for_a_person():
    parity = Parity(10, 1e-7, 0, 1e-5, refused="where Age is missing (ValueError: NaN)")
    outcome = classifier_outcome(right(0.9), TRUTH)
    found = checks(SPEC, result(SPEC, TRUTH, outcome, None, serve_as="runner", parity=parity))
    assert not parity.holds
    assert found["parity"].verdict == "look"


def test_champion_that_cannot_be_scored_is_left_to_a_person():
    made = result(
        SPEC, TRUTH, classifier_outcome(right(0.9), TRUTH), None, champion_error="It has no column Deck."
    )
    for check in (checks(SPEC, made)["champion"], checks(SPEC, made)["schema"]):
        assert (check.verdict, check.sentence) == ("look", "It has no column Deck.")


HOUSES = specs.house(
    slices=[], gate=[{"metric": "mae", "better_by": 0.03}, {"metric": "rmse", "not_worse_by": 0.01}]
)
PRICES = np.linspace(100_000, 500_000, 200)


def prices(error: float, *, one: float = 0.0) -> Outcome:
    """Every answer is `error` too high; the last is further off by `one`."""
    return Outcome(PRICES + error + one * (np.arange(200) == 199), None)


@pytest.mark.parametrize(
    ("candidate", "better", "not_worse"),
    [
        (prices(9_690), "passed", "passed"),
        (prices(9_710), "failed", "passed"),
        (prices(9_000, one=90_000), "passed", "failed"),
    ],
)
def test_what_the_spec_demands_is_judged_by_the_gain_itself(candidate, better, not_worse):
    found = checks(HOUSES, result(HOUSES, PRICES, candidate, prices(10_000)))
    assert (found["better:mae"].verdict, found["not_worse:rmse"].verdict) == (better, not_worse)
    assert (found["better:mae"].threshold, found["not_worse:rmse"].threshold) == (0.03, -0.01)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_model_that_answers_with_no_number_fails_and_is_told(number):
    candidate = prices(0)
    candidate.values[-1] = number
    found = checks(HOUSES, as_read(result(HOUSES, PRICES, candidate, prices(10_000))))
    assert found["numbers"].verdict == "failed"
    assert found["numbers"].sentence.startswith("The model answers 1 of 200 hold-out rows with no number")
    assert (found["champion"].verdict, found["champion"].value) == ("look", None)
    numbers = [
        x for c in found.values() for x in (c.value, c.threshold, *(c.interval or ())) if x is not None
    ]
    assert np.isfinite(numbers).all()
    assert not gate.verdict(list(found.values())).has_passed


def test_a_classifier_that_has_no_number_fails_and_is_told():
    outcome = classifier_outcome(right(0.9), TRUTH)
    outcome.probabilities[:2] = np.nan
    found = checks(SPEC, as_read(result(SPEC, TRUTH, outcome, classifier_outcome(right(0.9), TRUTH))))
    assert found["numbers"].verdict == "failed"
    assert found["numbers"].sentence.startswith("The model answers 2 of 300 hold-out rows")


def test_a_check_keeps_no_number_that_json_lacks():
    odd = Check(
        "parity", "passed", "It is.", value=float("nan"), threshold=float("inf"), interval=(0.0, np.inf)
    )
    assert gate._storable(odd) == Check("parity", "passed", "It is.")
    sound = Check("parity", "passed", "It is.", value=1.0, threshold=2.0, interval=(0.0, 1.0))
    assert gate._storable(sound) == sound


def test_a_demand_says_both_figures_its_interval_and_what_was_asked():
    check = checks(HOUSES, result(HOUSES, PRICES, prices(9_690), prices(10_000)))["better:mae"]
    assert check.value == pytest.approx(0.031)
    assert check.interval == pytest.approx((0.031, 0.031))
    assert check.sentence == (
        "mae 9690 is 3.1 % better than the champion's 10\u202f000 (95 % interval 3.1 % to 3.1 %);"
        " at least 3 % better is demanded."
    )


def test_without_a_champion_nothing_can_be_demanded():
    found = checks(HOUSES, result(HOUSES, PRICES, prices(9_000), None))
    assert {found[name].verdict for name in ("better:mae", "not_worse:rmse")} == {"skipped"}
    assert found["better:mae"].sentence == gate.NO_CHAMPION


def test_champion_that_cannot_be_scored_leaves_the_demands_to_a_person():
    made = result(HOUSES, PRICES, prices(9_000), None, champion_error="The champion broke.")
    assert checks(HOUSES, made)["better:mae"].verdict == "look"


def test_a_demand_of_a_score_is_in_its_own_unit():
    spec = specs.titanic(slices=[], gate=[{"metric": "accuracy", "better_by": 0.05}])
    outcomes = (classifier_outcome(right(share), TRUTH) for share in (0.9, 0.8))
    check = checks(spec, result(spec, TRUTH, *outcomes))["better:accuracy"]
    assert (check.verdict, check.value) == ("passed", pytest.approx(0.1))
