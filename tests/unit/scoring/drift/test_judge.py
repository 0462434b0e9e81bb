"""Windows against the reference: what must alarm, what must not, and what nobody can say."""

import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from scoring.alike import PROBABILITY_DIGITS
from scoring.drift import reference as references
from scoring.drift.judge import judge
from scoring.drift.shapes import ColumnJudgement, Limits
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.unit.scoring.drift.made import (
    LIMITS,
    PASSENGERS,
    REFERENCE,
    column,
    drawn,
    drifted,
    judged,
    parquet,
    window,
)

N_WINDOWS = 100


def test_windows_drawn_from_the_reference_are_quiet():
    """At most one in a hundred; measured: 0 of 1,000 windows."""
    alarms = [seed for seed in range(N_WINDOWS) if drifted(judged(drawn(500, seed=seed)))]
    assert len(alarms) <= 1


@pytest.mark.parametrize("n_rows", [100, 200, 2_000])
def test_windows_of_other_sizes_are_quiet(n_rows):
    alarms = [seed for seed in range(30) if drifted(judged(drawn(n_rows, seed=seed)))]
    assert len(alarms) <= 1


SHIFTS = {
    "Age": lambda table: table.assign(Age=table["Age"] + 6),
    "Fare": lambda table: table.assign(Fare=table["Fare"] * 1.5),
    "SibSp": lambda table: table.assign(SibSp=table["SibSp"] + (np.arange(len(table)) % 3 == 0)),
    "Sex": lambda table: table.assign(Sex=table["Sex"].where(np.arange(len(table)) % 3 > 0, "female")),
    "Pclass": lambda table: table.assign(Pclass=table["Pclass"].where(np.arange(len(table)) % 3 > 0, 1)),
    "Embarked": lambda table: table.assign(
        Embarked=table["Embarked"].where(np.arange(len(table)) % 4 > 0, "Q")
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_plausible_shift_is_found(name):
    """In every one of ten windows of 500 rows, and in the column that moved."""
    for seed in range(10):
        found = judged(SHIFTS[name](drawn(500, seed=seed)))
        assert found.verdict == "drifted"
        assert name in drifted(found)


def test_an_odd_value_is_one_that_the_reference_lacks():
    columns = window(drawn(500, seed=1))
    columns["Sex"][:2] = [["male"], {"x": 1}]
    found = column(judge(REFERENCE, columns, LIMITS), "Sex")
    unseen = next(check for check in found.checks if check.what == "unseen")
    assert unseen.window == 2 / 500
    assert found.verdict == "stable"


def test_a_shift_that_is_significant_but_small_is_no_drift():
    table = drawn(20_000, seed=1)
    is_changed = np.arange(20_000) % 6 == 0
    found = column(judged(table.assign(Sex=table["Sex"].mask(is_changed, "female"))), "Sex")
    assert found.checks[0].p_adjusted < 1e-6
    assert found.checks[0].value < found.checks[0].limit
    assert found.verdict == "stable"


def test_values_that_go_missing_are_drift():
    table = drawn(500, seed=2)
    found = column(judged(table.assign(Age=table["Age"].where(np.arange(500) % 2 == 0))), "Age")
    assert [check.what for check in found.checks if check.is_drifted] == ["missing"]
    assert found.missing == pytest.approx(0.6, abs=0.05)


def test_unseen_values_are_drift_and_never_named():
    table = drawn(500, seed=3)
    new = table["Embarked"].where(np.arange(500) % 4 > 0, "Dublin")
    found = column(judged(table.assign(Embarked=new)), "Embarked")
    assert {check.what for check in found.checks if check.is_drifted} == {"distribution", "unseen"}
    assert "Dublin" not in json.dumps(msgspec.to_builtins(found))
    assert found.bins.labels[-1] == ""
    assert found.bins.window[-1] == pytest.approx(0.25, abs=0.01)


def many_valued(
    law: str, n_values: int, n_reference: int, *, seed: int, shift: float = 0.0
) -> ColumnJudgement:
    """A text of so many values, and a window of 500. shift: the part of it that is the second value."""
    dice = np.random.default_rng(seed)
    shares = 1 / np.arange(1, n_values + 1) if law == "1/rank" else np.ones(n_values)
    shares /= shares.sum()
    names = np.asarray([f"v{place}" for place in range(n_values)])
    reference = dice.choice(names, n_reference, p=shares).tolist()
    rows = dice.choice(names, 500, p=(1 - shift) * shares + shift * np.eye(n_values)[1]).tolist()
    spec = plain_spec("regression", {"name": "x", "type": "text"})
    made = references.summary(spec, {"x": reference, "score": [0.0] * n_reference}, n_reference)
    return column(judge(made, {"x": rows, "score": [0.0] * 500}, LIMITS), "x")


MANY_VALUED = [
    ("1/rank", 200, 300),
    ("1/rank", 1_000, 1_000),
    ("1/rank", 5_000, 5_000),
    ("even", 200, 1_000),
    ("even", 200, 5_000),
    ("even", 1_000, 300),
    ("even", 1_000, 20_000),
]


@pytest.mark.parametrize(("law", "n_values", "n_reference"), MANY_VALUED)
def test_a_text_of_many_values_is_quiet_when_nothing_moved(law, n_values, n_reference):
    """Though each window has values that the reference lacks, and the other way round."""
    found = [many_valued(law, n_values, n_reference, seed=seed) for seed in range(20)]
    assert sum(one.verdict == "drifted" for one in found) <= 1


@pytest.mark.parametrize(("law", "n_values", "n_reference"), MANY_VALUED)
def test_a_text_of_many_values_drifts_when_one_of_them_spreads(law, n_values, n_reference):
    found = [many_valued(law, n_values, n_reference, seed=seed, shift=0.3) for seed in range(10)]
    assert sum(one.verdict == "drifted" for one in found) >= 9


RARE_KINDS = {
    "a flag": ({"name": "x", "type": "boolean"}, [False, True]),
    "a text": ({"name": "x", "type": "text"}, ["A", "C"]),
    "a number": ({"name": "x", "type": "number"}, [0.0, 7.0]),
}


@pytest.mark.parametrize("kind", RARE_KINDS)
def test_a_value_that_was_rare_and_spreads_is_drift(kind):
    """In ten rows of 20,000, then in every fourth of 500."""
    field, (common, rare) = RARE_KINDS[kind]
    columns = {"x": [common] * 19_990 + [rare] * 10, "score": [0.0] * 20_000}
    made = references.summary(plain_spec("regression", field), columns, 20_000)
    found = column(
        judge(made, {"x": [common, common, common, rare] * 125, "score": [0.0] * 500}, LIMITS), "x"
    )
    assert [check.what for check in found.checks if check.is_drifted] == ["distribution"]
    still = judge(made, {"x": [common] * 500, "score": [0.0] * 500}, LIMITS)
    assert column(still, "x").verdict == "stable"


def test_narrow_bins_have_bounds_of_their_own():
    """Longitudes of a city, which differ in the fifth digit."""
    longitude = read_spec(
        json.dumps(
            {
                "task": "regression",
                "fields": [{"name": "x", "type": "number"}],
                "output": {},
                "primary_metric": "mae",
            }
        )
    )
    values = np.linspace(121.473, 121.566, 1_000)
    made = references.read(parquet(pd.DataFrame({"x": values, "score": values})), longitude)
    labels = column(judge(made, {"x": values.tolist(), "score": values.tolist()}, LIMITS), "x").bins.labels
    assert len(set(labels)) == 12
    assert labels[1].startswith("121.4739 – 121.483")


def test_values_beyond_the_seen_range_are_drift():
    table = drawn(500, seed=4)
    found = column(judged(table.assign(Fare=table["Fare"].where(np.arange(500) % 5 > 0, 5_000.0))), "Fare")
    assert "out_of_range" in {check.what for check in found.checks if check.is_drifted}


def plain_spec(task: str, *fields: dict) -> Spec:
    output = {} if task == "regression" else {"labels": [{"value": 0}, {"value": 1}]}
    metric = "mae" if task == "regression" else "accuracy"
    described = {"task": task, "fields": list(fields), "output": output, "primary_metric": metric}
    return read_spec(json.dumps(described))


NUMBER = {"name": "x", "type": "number"}


def score_judged(task: str, stored: np.ndarray, recorded: list) -> ColumnJudgement:
    """stored: scores as training wrote them. recorded: those of a window, as serving recorded them."""
    made = references.summary(
        plain_spec(task, NUMBER), {"x": [0.0] * len(stored), "score": stored.tolist()}, len(stored)
    )
    return column(judge(made, {"x": [0.0] * len(recorded), "score": recorded}, LIMITS), "score")


def answered(shares: np.ndarray) -> list[float]:
    """As a compiled model gives them, in float32, and serving then rounds them."""
    return [round(share, PROBABILITY_DIGITS) for share in shares.astype(np.float32).tolist()]


@pytest.mark.parametrize("n_leaves", [8, 22])
def test_the_scores_of_a_tree_match_although_serving_rounds_them(n_leaves):
    """Few as categories, more by their order; each leaf has a share that six digits do not hold."""
    leaves = (np.arange(n_leaves) + 1) / (n_leaves * 3 + 2)
    dice = np.random.default_rng(1)
    for _ in range(10):
        found = score_judged("classification", dice.choice(leaves, 5_000), answered(dice.choice(leaves, 500)))
        assert found.verdict == "stable"
        assert found.psi < 0.05
        assert found.bins.labels[-1] != ""


def test_a_score_on_the_edge_of_rounding_matches():
    """1/640 is 0.0015625: float64 and the noise of a compiled forest round it to different sides."""
    leaves = np.asarray([1 / 640, 0.3, 0.6])
    stored = np.tile(leaves, 500)
    for noise in (-2e-7, 0.0, 2e-7):
        found = score_judged("classification", stored, answered(np.tile(leaves + noise, 200)))
        assert (found.verdict, round(found.psi, 6)) == ("stable", 0)


def test_a_model_that_is_very_sure_does_not_drift_from_being_rounded():
    """Of 1e-8 and 1e-7 serving says 0."""
    stored = 10 ** -np.random.default_rng(2).uniform(1, 12, 5_000)
    assert score_judged("classification", stored, answered(stored[:1_000])).verdict == "stable"


@pytest.mark.parametrize("n_leaves", [8, 22])
def test_a_regression_in_float32_matches(n_leaves):
    leaves = np.linspace(-1, 1, n_leaves) ** 3 * 100 / 7
    dice = np.random.default_rng(3)
    recorded = dice.choice(leaves * (1 - 1e-6), 500).astype(np.float32)
    found = score_judged("regression", dice.choice(leaves, 5_000), recorded.tolist())
    assert found.verdict == "stable"
    assert found.psi < 0.05


def test_scores_that_did_move_by_little_are_still_found():
    """A tenth of a spread is no rounding."""
    leaves = np.asarray([0.1, 0.2, 0.3])
    assert score_judged("regression", np.tile(leaves, 500), np.tile(leaves + 0.008, 200).tolist()).psi > 0.2


def test_a_field_that_training_had_in_float32_matches_what_is_asked():
    """0.1 is 0.10000000149 there, 0.7 is 0.69999998808; neither another value nor beyond what was seen."""
    values = np.tile([0.1, 0.7], 300)
    columns = {"x": values.astype(np.float32).tolist(), "score": values.tolist()}
    spec = plain_spec("regression", {**NUMBER, "seen": columns["x"][:2]})
    made = references.summary(spec, columns, len(values))
    found = column(judge(made, {"x": values.tolist(), "score": values.tolist()}, LIMITS), "x")
    assert (found.verdict, found.psi, found.bins.labels) == ("stable", 0, ["0.1", "0.7"])
    assert [check.window for check in found.checks if check.what == "out_of_range"] == [0]


def test_a_window_without_enough_rows_has_no_verdict():
    found = judged(drawn(99, seed=5).assign(Age=200.0))
    assert found.verdict == "not_enough"
    assert not drifted(found)


ODD_WINDOWS = {
    "no row": PASSENGERS.head(0),
    "one row": PASSENGERS.head(1),
    "two equal rows": PASSENGERS.head(1).loc[[0, 0]],
    "one constant row, often": PASSENGERS.loc[[0] * 500],
    "all missing": pd.DataFrame(None, index=range(500), columns=PASSENGERS.columns),
    "one column missing": drawn(500, seed=6).assign(Age=np.nan),
    "enormous numbers": drawn(500, seed=7).assign(Fare=3e38),
}


@pytest.mark.parametrize("name", ODD_WINDOWS)
@pytest.mark.parametrize("limits", [LIMITS, Limits(min_n=0)])
def test_an_odd_window_is_judged_without_a_fault_and_is_json(name, limits):
    table = ODD_WINDOWS[name].reset_index(drop=True)
    found = judge(REFERENCE, window_of(table), limits)
    json.dumps(msgspec.to_builtins(found), allow_nan=False)
    assert found.n == len(table)
    if len(table) < 3:
        assert found.verdict == "not_enough"
    elif name != "one constant row, often":
        assert found.verdict == "drifted"


def window_of(table: pd.DataFrame) -> dict:
    """As `window`, for tables that no score can be worked out for."""
    if table["Sex"].isna().any() or table.empty:
        return {one.name: [None] * len(table) for one in REFERENCE.columns}
    return window(table)


def test_a_constant_window_drifts_in_what_varies():
    found = judged(PASSENGERS.loc[[0] * 500].reset_index(drop=True))
    assert {"Age", "Fare", "Sex", "Pclass", "score"} & drifted(found)


def test_missing_rows_do_not_move_the_distribution():
    """No imputation: half the ages gone at random leave the other half's distribution as it was."""
    table = drawn(2_000, seed=8)
    thinned = table.assign(Age=table["Age"].where(np.random.default_rng(8).random(2_000) > 0.5))
    found = column(judged(thinned), "Age")
    assert not found.checks[0].is_drifted
    assert found.checks[0].value < 0.1


def test_a_column_of_another_type_counts_as_missing():
    found = judge(REFERENCE, {**window(drawn(500, seed=9)), "Age": ["forty"] * 500}, LIMITS)
    assert column(found, "Age").missing == 1.0


def test_a_whole_number_that_no_float_holds_counts_as_missing():
    found = judge(REFERENCE, {**window(drawn(500, seed=9)), "Age": [10**400] * 500}, LIMITS)
    assert column(found, "Age").missing == 1.0
