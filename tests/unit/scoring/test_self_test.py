"""What a model is tested with before it serves."""

import pytest

from scoring import self_test
from scoring.self_test import SelfTestError
from tests.unit.scoring import fitted, specs


def test_a_reference_without_rows_is_refused(tmp_path):
    fitted.houses(4).assign(score=0.5).head(0).to_parquet(tmp_path / "reference.parquet")
    with pytest.raises(SelfTestError, match="its reference has no rows"):
        self_test.sample((tmp_path / "reference.parquet").read_bytes(), specs.house())


def test_a_model_is_tested_with_the_end_of_its_reference_too(tmp_path):
    rows = fitted.houses(999).assign(score=[float(place) for place in range(999)])
    rows.to_parquet(tmp_path / "reference.parquet")
    found = self_test.sample((tmp_path / "reference.parquet").read_bytes(), specs.house())
    assert len(found.scores) == 500
    assert (found.scores[0], found.scores[-1]) == (0.0, 997.0)


def test_rows_that_the_spec_refuses_are_left_out_and_said(tmp_path):
    """A champion serves on; the gate lets no such version pass."""
    rows = fitted.houses(40).assign(score=[float(place) for place in range(40)])
    rows.loc[7, "rooms"] = -5
    rows.to_parquet(tmp_path / "reference.parquet")
    found = self_test.sample((tmp_path / "reference.parquet").read_bytes(), specs.house())
    assert found.scores == [float(place) for place in range(40) if place != 7]
    assert len(found.inputs) == 39
    assert found.refused.startswith("its spec refuses a row of its own reference: rooms")


def test_a_reference_of_which_the_spec_takes_no_row_is_refused(tmp_path):
    fitted.houses(4).assign(score=0.5, rooms=-5).to_parquet(tmp_path / "reference.parquet")
    with pytest.raises(SelfTestError, match="refuses a row of its own reference"):
        self_test.sample((tmp_path / "reference.parquet").read_bytes(), specs.house())
