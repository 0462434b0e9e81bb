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
