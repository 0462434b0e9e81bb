"""What is kept of a reference, the limits of a rule, and a judgement; all are plain JSON when stored."""

from typing import Final, Literal

from msgspec import Struct

Kind = Literal["number", "discrete", "category"]
What = Literal["distribution", "missing", "unseen", "out_of_range"]
Verdict = Literal["drifted", "stable", "not_enough"]
Value = int | float | str | bool

# A summary of another format is made anew, from the frozen file.
FORMAT: Final = 2


class Column(Struct, forbid_unknown_fields=True):
    """One column of the reference, summed up.

    values, counts: for a number its ordered values (beyond a thousand, medians of as many equal parts), for
    the other kinds its values, commonest first. rest: rows of those too rare to be listed, in a few buckets.
    spread: standard deviation of a number. psi_edges: inner bounds of its tenths; edges: of the drawn bins.
    labels: what people see for `values`. seen: the spec's range, beyond which a value is out of range.
    tolerance: a value that lies no further from one of `values` is that one; the rest is rounding.
    """

    name: str
    title: str
    kind: Kind
    n_missing: int
    values: list[Value]
    counts: list[int]
    labels: list[str] = []
    rest: list[int] = []
    spread: float = 0.0
    psi_edges: list[float] = []
    edges: list[float] = []
    seen: tuple[float, float] | None = None
    n_out_of_range: int = 0
    is_score: bool = False
    tolerance: float = 0.0

    @property
    def n_rest(self) -> int:
        return sum(self.rest)

    @property
    def n_present(self) -> int:
        return sum(self.counts) + self.n_rest


class Reference(Struct, forbid_unknown_fields=True):
    """The frozen reference of a version: the fields in the spec's order, then the score.

    second_class: of two classes the one whose probability is the score, as probabilities name it; else "".
    """

    n: int
    columns: list[Column]
    second_class: str = ""
    format: Literal[2] = FORMAT


class Limits(Struct, frozen=True):
    """What a window must pass to be called drifted.

    alpha: of the corrected p-values. wasserstein: in standard deviations of the reference. psi: of categories
    and discrete numbers. share: by how much the share of missing, unseen or out-of-range values may move.
    """

    min_n: int = 100
    alpha: float = 0.01
    wasserstein: float = 0.1
    psi: float = 0.1
    score_psi: float = 0.2
    share: float = 0.1

    def effect(self, column: Column) -> float:
        """The least effect that counts for the distribution of this column."""
        if column.is_score:
            return self.score_psi
        return self.wasserstein if column.kind == "number" else self.psi


class Check(Struct):
    """One comparison. value: the effect, in `measure`; limit: the least that counts.

    reference, window: the two shares, where shares are compared; of unseen values, what was to be expected
    and what came. p_adjusted: over all checks of the window.
    """

    what: What
    test: Literal["ks", "chi_square", "fisher"]
    measure: Literal["wasserstein", "psi", "share"]
    value: float
    limit: float
    p_value: float
    p_adjusted: float = 1.0
    reference: float | None = None
    window: float | None = None
    is_drifted: bool = False

    @property
    def strength(self) -> float:
        """1 is the least effect that counts."""
        return self.value / self.limit


class Bins(Struct):
    """Both distributions over the same bins or values, in shares of the rows that have a value."""

    labels: list[str]
    reference: list[float]
    window: list[float]


class ColumnJudgement(Struct):
    """strength: the greatest effect against its limit. psi, ks, wasserstein: None where not defined.

    n_reference: rows of the reference, with or without a value; for the score those held out, if any.
    """

    name: str
    title: str
    kind: Kind
    is_score: bool
    verdict: Verdict
    n_present: int
    n_reference: int
    checks: list[Check]
    bins: Bins
    missing: float
    reference_missing: float
    psi: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    strength: float = 0.0


class Judgement(Struct):
    """Of a window of n predictions."""

    n: int
    verdict: Verdict
    columns: list[ColumnJudgement]
