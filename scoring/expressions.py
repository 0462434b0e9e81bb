"""The language of derived columns: numbers, + - * /, comparisons, parentheses, is_missing(x).

A field whose name is no plain word stands between backticks, as in pandas: `petal width (cm)` / 2; a
backtick in it is written twice.

A text is parsed, checked against a whitelist and turned into closures; it is never run as code. Arithmetic is
in float64. Missing in, missing out; what has no finite value (division by zero, overflow) is missing. A
comparison is 1 or 0. `is_missing(x)` is the one way to ask about a missing value.
"""

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from scoring.language import MAX_NUMBER

MAX_LENGTH = 1_000
MAX_DEPTH = 30
MAX_NODES = 200

Columns = Mapping[str, np.ndarray]
_Evaluate = Callable[[Any], Any]

_Apply = Callable[..., Any]
_Operations = dict[Any, _Apply]

_ARITHMETIC: _Operations = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_COMPARISONS: _Operations = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class ExpressionError(ValueError):
    """The text is not in the language; the message says where it leaves it."""


class Expression:
    """One derived column: call it with whole columns, or `scalar` with the numbers of one row.

    Both ways give the same float64, bit for bit. Text columns may only be asked `is_missing`.
    """

    def __init__(self, text: str, names: frozenset[str], vector: _Evaluate, scalar: _Evaluate) -> None:
        self.text = text
        self.names = names
        self._vector = vector
        self._scalar = scalar

    def __call__(self, columns: Columns) -> np.ndarray:
        """columns: float64 arrays (NaN is missing) or text objects ("" is missing), of one length."""
        with np.errstate(all="ignore"):
            result = np.asarray(self._vector(columns), dtype=np.float64)
            return np.where(np.abs(result) <= MAX_NUMBER, result, np.nan)

    def scalar(self, row: Mapping[str, Any]) -> float:
        """row: floats (NaN is missing) and text ("" is missing)."""
        result = self._scalar(row)
        return result if -MAX_NUMBER <= result <= MAX_NUMBER else math.nan


def compile_expression(text: str, names: Collection[str], *, texts: Collection[str] = ()) -> Expression:
    """names: the columns it may use; texts: those of them that hold text. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    plain, quoted = _unquoted(text)
    try:
        tree = ast.parse(plain.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(_unreadable(text, getattr(error, "msg", None) or str(error))) from error
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES * 3:
        raise ExpressionError(f"has more than {MAX_NODES} parts")
    _restore_names(tree, quoted)
    used: set[str] = set()
    _check(tree.body, _Names(frozenset(names), frozenset(texts), used), depth=1)
    if not used:
        raise ExpressionError("uses no field")
    return Expression(text, frozenset(used), _closure(tree.body, _VECTOR), _closure(tree.body, _SCALAR))


def quote(name: str) -> str:
    """The name as it stands in an expression."""
    is_plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return name if is_plain else "`" + name.replace("`", "``") + "`"


_QUOTED = re.compile(r"`((?:[^`]|``)+)`")


def _unquoted(text: str) -> tuple[str, dict[str, str]]:
    """The text with a plain word for each quoted name, and the names by these words."""
    start = "quoted"
    while start in text:
        start += "_"
    words: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        name = match[1].replace("``", "`")
        words.setdefault(name, f"{start}{len(words)}")
        return f" {words[name]} "

    return _QUOTED.sub(word, text), {word: name for name, word in words.items()}


def _restore_names(tree: ast.AST, quoted: Mapping[str, str]) -> None:
    """From here on the tree is for the checks, not for Python: names in it may be anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = quoted.get(node.id, node.id)


def _unreadable(text: str, why: str) -> str:
    hint = "" if "`" in text else ": a name that is no plain word stands between backticks"
    return f"cannot be read: {why}{hint}"


class _Names(NamedTuple):
    known: frozenset[str]
    texts: frozenset[str]
    used: set[str]


def _check(node: ast.AST, names: _Names, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"is nested deeper than {MAX_DEPTH}")
    match node:
        case ast.Constant(value=int() | float() as value) if (
            type(value) is not bool and abs(value) <= MAX_NUMBER
        ):
            return
        case ast.Name(id=name):
            _use(name, names)
            if name in names.texts:
                raise ExpressionError(
                    f"reckons with {name!r}, which is text: only is_missing({quote(name)}) may be asked"
                )
            return
        case ast.Call(func=ast.Name(id="is_missing"), args=[ast.Name(id=name)], keywords=[]):
            _use(name, names)
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            children = [operand]
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
            children = [left, right]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            children = [left, right]
        case _:
            raise ExpressionError(f"may not hold `{ast.unparse(node)[:60]}`: {_HINT}")
    for child in children:
        _check(child, names, depth=depth + 1)


def _use(name: str, names: _Names) -> None:
    if name not in names.known:
        raise ExpressionError(f"uses {name!r}, which is no field")
    names.used.add(name)


_HINT = "only numbers, fields, + - * /, one comparison at a time, parentheses and is_missing(field)"


def _divided(left: float, right: float) -> float:
    return left / right if right else math.nan


def _compared(compare: _Apply) -> Callable[[float, float], float]:
    return lambda left, right: math.nan if left != left or right != right else float(compare(left, right))


def _compared_columns(compare: _Apply) -> _Apply:
    def evaluate(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(left) | np.isnan(right), np.nan, compare(left, right))

    return evaluate


def _divided_columns(left: Any, right: Any) -> Any:
    return np.divide(left, np.where(np.equal(right, 0), np.nan, right))


def _is_missing(value: float | str) -> float:
    return float(value == "" if isinstance(value, str) else value != value)


def _is_missing_column(column: np.ndarray) -> Any:
    return ((column == "") if column.dtype == object else np.isnan(column)).astype(np.float64)


_SCALAR: _Operations = {
    **_ARITHMETIC,
    ast.Div: _divided,
    **{kind: _compared(compare) for kind, compare in _COMPARISONS.items()},
    "is_missing": _is_missing,
}
_VECTOR: _Operations = {
    **_ARITHMETIC,
    ast.Div: _divided_columns,
    **{kind: _compared_columns(compare) for kind, compare in _COMPARISONS.items()},
    "is_missing": _is_missing_column,
}


def _closure(node: ast.AST, operations: _Operations) -> _Evaluate:
    """node: already checked."""
    match node:
        case ast.Constant(value=value):
            constant = float(value)  # type: ignore[arg-type]
            return lambda row: constant
        case ast.Name(id=name):
            return operator.itemgetter(name)
        case ast.UnaryOp(op=op, operand=operand):
            inner = _closure(operand, operations)
            return (lambda row: -inner(row)) if isinstance(op, ast.USub) else inner
        case ast.BinOp(op=op, left=left, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return _binary(operations[type(op)], _closure(left, operations), _closure(right, operations))
        case ast.Call(args=[argument]):
            inner, ask = _closure(argument, operations), operations["is_missing"]
            return lambda row: ask(inner(row))
    raise AssertionError(f"unchecked node {node!r}")


def _binary(apply: _Apply, left: _Evaluate, right: _Evaluate) -> _Evaluate:
    return lambda row: apply(left(row), right(row))
