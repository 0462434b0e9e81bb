"""The language of derived columns: what it means, what it refuses, and that both ways of running it agree."""

import math

import numpy as np
import pytest

from scoring.expressions import ExpressionError, compile_expression, quote

NAMES = ["a", "b", "c", "t"]
NAN = math.nan


def value(text: str, **row: object) -> float:
    return compile_expression(text, NAMES, texts=["t"]).scalar({"a": NAN, "b": NAN, "c": NAN, "t": "", **row})


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("a + b * c", {"a": 1.0, "b": 2.0, "c": 3.0}, 7.0),
        ("(a + b) * c", {"a": 1.0, "b": 2.0, "c": 3.0}, 9.0),
        ("a - b - c", {"a": 9.0, "b": 2.0, "c": 3.0}, 4.0),
        ("-a + +b", {"a": 2.0, "b": 5.0}, 3.0),
        ("a / b", {"a": 1.0, "b": 4.0}, 0.25),
        ("a / b", {"a": 1.0, "b": 0.0}, NAN),
        ("a + b == 0", {"a": 0.0, "b": 0.0}, 1.0),
        ("a + b == 0", {"a": 1.0, "b": 0.0}, 0.0),
        ("a != b", {"a": 1.0, "b": 2.0}, 1.0),
        ("a <= 2", {"a": 2.0}, 1.0),
        ("a > b", {"a": 1.0}, NAN),
        ("a + 1", {}, NAN),
        ("is_missing(a)", {}, 1.0),
        ("is_missing(a)", {"a": 0.0}, 0.0),
        ("is_missing(t)", {"t": ""}, 1.0),
        ("1 - is_missing(t)", {"t": "x"}, 1.0),
        ("a * a", {"a": 1e30}, NAN),  # no float32
        ("0.1 + a", {"a": 0.2}, 0.1 + 0.2),
    ],
)
def test_value_worked_by_hand(text, row, expected):
    assert value(text, **row) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


ODD = ["petal-width", "sepal length (cm)", "a`b", "class", "ﬁeld", "100%", "'", "is it text?", "quoted0", "a"]


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("`petal-width` * 2", {"petal-width": 1.5}, 3.0),
        ("`petal-width`/`sepal length (cm)`", {"petal-width": 1.0, "sepal length (cm)": 4.0}, 0.25),
        ("-`a``b`", {"a`b": 2.0}, -2.0),
        ("`class` + `ﬁeld`", {"class": 1.0, "ﬁeld": 2.0}, 3.0),
        ("`100%` - quoted0 - `quoted0`", {"100%": 5.0, "quoted0": 1.0}, 3.0),
        ("is_missing(`is it text?`) + is_missing(`'`)", {"is it text?": "", "'": 1.0}, 1.0),
        ("`a` + a", {"a": 1.0}, 2.0),
    ],
)
def test_a_quoted_name_may_be_anything(text, row, expected):
    found = compile_expression(text, ODD, texts=["is it text?"])
    assert found.scalar(row) == expected
    columns = {name: np.array([value], object if value == "" else np.float64) for name, value in row.items()}
    assert found(columns).tolist() == [expected]
    assert found.names == row.keys()


@pytest.mark.parametrize("name", [*ODD, "été", "None", "x.y", "``", " "])
def test_every_name_can_be_quoted(name):
    assert compile_expression(f"{quote(name)} + 1", [name]).scalar({name: 1.0}) == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("`nothing` + 1", "uses 'nothing', which is no field"),
        ("`is it text?` + 1", "only is_missing\\(`is it text\\?`\\) may be asked"),
        ("`petal-width", "cannot be read"),
        ("``", "cannot be read"),
        ("`petal-width` `petal-width`", "cannot be read"),
        ("sepal length", "a name that is no plain word stands between backticks"),
        ("`petal-width`.real", "may not hold `petal-width.real`"),
        ("`petal-width`(1)", "may not hold"),
        ("-" * 90 + "`petal-width`", "nested deeper"),
    ],
)
def test_what_quoting_does_not_allow(text, message):
    with pytest.raises(ExpressionError, match=message):
        compile_expression(text, ODD, texts=["is it text?"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "may not hold"),
        ("a.real", "may not hold `a.real`"),
        ("a ** 2", "may not hold `a ** 2`"),
        ("a // b", "may not hold"),
        ("a % b", "may not hold"),
        ("a if b else c", "may not hold"),
        ("a and b", "may not hold"),
        ("not a", "may not hold"),
        ("a < b < c", "may not hold"),
        ("[a]", "may not hold"),
        ("lambda: a", "may not hold"),
        ("(a := 1)", "may not hold"),
        ("f'{a}'", "may not hold"),
        ("'x' + a", "may not hold"),
        ("True + a", "may not hold"),
        ("1e400 + a", "may not hold"),
        ("1j * a", "may not hold"),
        ("exp(a)", "may not hold"),
        ("is_missing(a + b)", "may not hold"),
        ("is_missing(a, b)", "may not hold"),
        ("is_missing", "uses 'is_missing', which is no field"),
        ("d + 1", "uses 'd', which is no field"),
        ("is_missing(d)", "uses 'd', which is no field"),
        ("t + 1", "reckons with 't', which is text"),
        ("1 + 1", "uses no field"),
        ("a +", "cannot be read"),
        ("", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("a; b", "cannot be read"),
        ("a\x00", "cannot be read"),
        ("a" + " + a" * 250, "longer than 1000 characters"),
        ("a" + "+a" * 300, "more than 200 parts"),
        ("(" * 300 + "a" + ")" * 300, "cannot be read"),
        ("-" * 60 + "a", "nested deeper than 30"),
    ],
)
def test_text_outside_the_language_is_refused(text, message):
    with pytest.raises(ExpressionError, match=message.replace("*", r"\*").replace("(", r"\(")):
        compile_expression(text, NAMES, texts=["t"])


def test_columns_and_single_rows_agree_bit_for_bit():
    dice = np.random.default_rng(11)
    pool = np.array([0.0, 1.0, -1.0, 0.1, 1e-30, 1e30, 3.3e38, 7.25, NAN])
    columns = {name: dice.choice(pool, 500) for name in "abc"}
    columns["t"] = dice.choice(np.array(["", "x"], dtype=object), 500)
    for text in _random_expressions(dice, 300):
        expression = compile_expression(text, NAMES, texts=["t"])
        table = expression(columns)
        alone = [
            expression.scalar({n: c[i] if n == "t" else float(c[i]) for n, c in columns.items()})
            for i in range(500)
        ]
        np.testing.assert_array_equal(table, np.array(alone), err_msg=text)


def _random_expressions(dice: np.random.Generator, n: int) -> list[str]:
    def grow(depth: int) -> str:
        if depth == 0 or dice.random() < 0.2:
            return str(dice.choice(["a", "b", "c", "2", "0.5", "is_missing(a)", "is_missing(t)"]))
        sign = dice.choice(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="])
        return f"({grow(depth - 1)} {sign} {grow(depth - 1)})"

    return [f"a * 0 + {grow(4)}" for _ in range(n)]
