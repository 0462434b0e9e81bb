"""Shapley values against two other ways: every order by hand, and shap's own explainer."""

import itertools
import math

import numpy as np
import pytest
import shap

from scoring import explain, features
from scoring.check import NoNumber
from scoring.explain import GivenUp, NotExplained, shapley
from scoring.score import ModelFailure, Outcome
from scoring.spec import Spec
from tests.unit.scoring import fitted, specs


class Formula:
    """A model that is a formula over the columns."""

    def __init__(self, spec: Spec, formula) -> None:
        self.spec = spec
        self._formula = formula

    def predict(self, columns) -> Outcome:
        return Outcome(np.asarray(self._formula(columns), np.float64), None)


HOUSE_ROW = {"rooms": 4, "area": 120.0, "town": "Lugo"}


def references(rows) -> list[dict]:
    return rows.drop(columns="label").astype(object).where(rows.notna(), None).to_dict("records")


def by_every_order(worth, names: list[str]) -> dict[str, float]:
    """The definition: the mean of what a field adds, over all orders in which fields can join."""
    total = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        joined: set[str] = set()
        for name in order:
            before = worth(frozenset(joined))
            joined.add(name)
            total[name] += worth(frozenset(joined)) - before
    return {name: value / math.factorial(len(names)) for name, value in total.items()}


def test_exact_values_are_the_mean_over_every_order():
    spec, rows = specs.house(), fitted.houses(40)
    scorer, background = fitted.scorer(spec, fitted.houses()), references(rows)
    cache: dict[frozenset, float] = {}

    def worth(coalition: frozenset) -> float:
        if coalition not in cache:
            mixed = [{n: HOUSE_ROW[n] if n in coalition else row[n] for n in HOUSE_ROW} for row in background]
            cache[coalition] = float(
                scorer.predict(features.frame(spec, mixed)).values.astype(np.float64).mean()
            )
        return cache[coalition]

    found = shapley(scorer, spec, HOUSE_ROW, background)
    assert found.is_exact
    assert found.errors is None
    assert found.contributions == pytest.approx(by_every_order(worth, list(HOUSE_ROW)), rel=1e-6)
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)


def test_exact_values_are_those_of_shap():
    spec, rows = specs.house(derived=[]), fitted.houses(30)
    numbers = rows[["rooms", "area"]].to_numpy()
    is_lugo = (rows["town"] == "Lugo").to_numpy().astype(float)

    def formula(table: np.ndarray) -> np.ndarray:
        return table[:, 0] * table[:, 1] + np.sqrt(table[:, 1]) * table[:, 2]

    model = Formula(
        spec,
        lambda c: formula(np.column_stack([c["rooms"], c["area"], c["town"] == "Lugo"]).astype(np.float64)),
    )
    background = np.column_stack([numbers, is_lugo])
    theirs = shap.explainers.ExactExplainer(formula, shap.maskers.Independent(background, max_samples=30))
    expected = theirs(np.array([[4.0, 120.0, 1.0]])).values[0]
    found = shapley(model, spec, HOUSE_ROW, references(rows))
    np.testing.assert_allclose(
        list(found.contributions.values()), expected, rtol=1e-5
    )  # ours are float32 columns


def test_derived_column_credits_its_fields():
    spec, rows = specs.house(), fitted.houses(20)
    model = Formula(spec, lambda columns: columns["area_per_room"])
    found = shapley(model, spec, HOUSE_ROW, references(rows))
    assert found.prediction == pytest.approx(30.0)
    assert found.contributions["town"] == pytest.approx(0.0, abs=1e-9)
    assert abs(found.contributions["area"]) > 1e-3
    assert abs(found.contributions["rooms"]) > 1e-3


def test_classifier_explains_the_second_class_of_two():
    spec, rows = specs.titanic(), fitted.passengers()
    scorer = fitted.scorer(spec, rows)
    found = shapley(scorer, spec, specs.titanic_row(Age=None), references(rows), n_background=50)
    assert found.target == "1"
    probability = scorer.score_rows([specs.titanic_row(Age=None)]).probabilities[0]["1"]
    assert found.prediction == pytest.approx(probability, abs=1e-6)
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)
    assert max(found.contributions, key=lambda name: abs(found.contributions[name])) in ("Sex", "Title")


def test_sampled_values_lie_within_their_errors(monkeypatch):
    spec, rows = specs.titanic(), fitted.passengers()
    scorer = fitted.scorer(spec, rows)
    exact = shapley(scorer, spec, specs.titanic_row(), references(rows), n_background=20)
    monkeypatch.setattr(explain, "EXACT_FIELDS", 3)
    found = shapley(scorer, spec, specs.titanic_row(), references(rows), n_background=20)
    assert not found.is_exact
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)
    for name, value in exact.contributions.items():
        assert abs(found.contributions[name] - value) <= 4 * found.errors[name] + 1e-9


def test_explanation_without_reference_is_refused():
    with pytest.raises(ValueError, match="needs reference rows"):
        shapley(Formula(specs.house(), len), specs.house(), HOUSE_ROW, [])


def picky(columns) -> np.ndarray:
    """Price by area and rooms; a house of 9 rooms in Lugo is more than the model bears."""
    if np.any((columns["rooms"] == 9) & (columns["town"] == "Lugo")):
        raise ModelFailure("ValueError: no such house")
    return columns["area"] * columns["rooms"]


def wordless(columns) -> np.ndarray:
    """The same, but answered with no number."""
    return np.where(
        (columns["rooms"] == 9) & (columns["town"] == "Lugo"), np.nan, columns["area"] * columns["rooms"]
    )


BACKGROUND = [
    {"rooms": 2, "area": 50.0, "town": "Lugo"},
    {"rooms": 9, "area": 200.0, "town": "Ávila"},
    {"rooms": 4, "area": 100.0, "town": "Ávila"},
]


@pytest.mark.parametrize("n_exact", [10, 2], ids=["exact", "sampled"])
@pytest.mark.parametrize("formula", [picky, wordless])
def test_reference_rows_that_cannot_be_mixed_with_the_row_are_left_out(monkeypatch, formula, n_exact):
    monkeypatch.setattr(explain, "EXACT_FIELDS", n_exact)
    spec = specs.house(derived=[])
    found = shapley(Formula(spec, formula), spec, HOUSE_ROW, BACKGROUND)
    assert (found.n_reference, found.n_left_out) == (2, 1)
    # by hand: f is area x rooms; of the two rows that are left 2 x 50 and 4 x 100, the row itself 4 x 120
    assert found.base == pytest.approx(250)
    assert found.prediction == pytest.approx(480)
    # rooms of the first: 2 more, half with 50, half with 120: 170; of the second none. area: 70 x 3, 20 x 4
    expected = {"rooms": 85, "area": (210 + 80) / 2, "town": 0}
    if n_exact == 10:
        assert found.contributions == pytest.approx(expected)
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)
    assert all(map(math.isfinite, [*found.contributions.values(), *(found.errors or {}).values()]))


@pytest.mark.parametrize(("formula", "words"), [(picky, "no such house"), (wordless, "with no number")])
def test_a_row_that_fits_no_reference_row_is_not_explained(formula, words):
    spec = specs.house(derived=[])
    with pytest.raises(NotExplained, match=words):
        shapley(Formula(spec, formula), spec, HOUSE_ROW, [BACKGROUND[1]] * 3)


@pytest.mark.parametrize(("formula", "error"), [(picky, ModelFailure), (wordless, NoNumber)])
def test_a_row_that_the_model_does_not_answer_is_told_as_such(formula, error):
    spec = specs.house(derived=[])
    with pytest.raises(error):
        shapley(Formula(spec, formula), spec, HOUSE_ROW | {"rooms": 9}, BACKGROUND)


class Slow(Formula):
    """A model whose every call takes a second of the clock that explanations go by."""

    def __init__(self, spec, formula, monkeypatch):
        super().__init__(spec, formula)
        self.n_calls = 0
        monkeypatch.setattr(explain.time, "monotonic", lambda: float(self.n_calls))

    def predict(self, columns):
        self.n_calls += 1
        return super().predict(columns)


def wide(n_fields: int, monkeypatch) -> tuple[Slow, dict, list[dict]]:
    """A model that multiplies its first two fields and adds the others."""
    names = [f"x{n}" for n in range(n_fields)]
    fields = [{"name": name, "type": "number"} for name in names]
    spec = specs.house(fields=fields, derived=[], slices=[])
    dice = np.random.default_rng(3)
    rows = [dict(zip(names, dice.normal(size=n_fields).tolist(), strict=True)) for _row in range(20)]
    model = Slow(spec, lambda c: c["x0"] * c["x1"] + sum(c[name] for name in names[2:]), monkeypatch)
    return model, dict.fromkeys(names, 1.0), rows


@pytest.mark.parametrize(("budget_s", "n_samples"), [(0, 1), (2, 1), (20, 9), (10_000, 200)])
def test_orders_are_sampled_while_the_budget_lasts_and_one_always(monkeypatch, budget_s, n_samples):
    model, row, reference = wide(12, monkeypatch)
    found = shapley(model, model.spec, row, reference, budget_s=budget_s)
    # the row itself and the two ends take a second each; an order and its reverse one each
    assert model.n_calls == 2 + 2 * n_samples
    assert not found.is_exact
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)
    assert set(found.errors) == set(row)
    errors = list(found.errors.values())
    assert errors == [None] * 12 if n_samples == 1 else all(error >= 0 for error in errors)


def test_fewer_orders_have_larger_errors(monkeypatch):
    few, many = [], []
    for budget_s, errors in ((20, few), (1_000, many)):
        model, row, reference = wide(12, monkeypatch)
        found = shapley(model, model.spec, row, reference, budget_s=budget_s)
        errors += [found.errors["x0"], found.errors["x1"]]
    assert min(few) > max(many)


@pytest.mark.parametrize(("budget_s", "is_exact"), [(12, True), (8, False)])
def test_exact_values_that_would_take_longer_than_half_the_budget_are_sampled(
    monkeypatch, budget_s, is_exact
):
    monkeypatch.setattr(explain, "BATCH_ROWS", 20 * 200)  # 1,024 coalitions are six calls
    model, row, reference = wide(10, monkeypatch)
    found = shapley(model, model.spec, row, reference, budget_s=budget_s)
    assert found.is_exact == is_exact
    assert sum(found.contributions.values()) == pytest.approx(found.prediction - found.base)


@pytest.mark.parametrize("n_fields", [10, 12])
def test_what_nobody_waits_for_any_more_is_given_up(monkeypatch, n_fields):
    monkeypatch.setattr(explain, "BATCH_ROWS", 20 * 200)
    model, row, reference = wide(n_fields, monkeypatch)
    with pytest.raises(GivenUp):
        shapley(model, model.spec, row, reference, budget_s=1e6, is_wanted=lambda: model.n_calls < 4)
    assert model.n_calls == 4
