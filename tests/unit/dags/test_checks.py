"""One value against the rule of its column."""

import pandas as pd
import pytest

from dags.recipes.common.checks import Column, sort_out


@pytest.mark.parametrize("kind", ["number", "integer"])
@pytest.mark.parametrize("value", ["1_5", "1_000", "_1", "1_"])
def test_a_number_written_with_underscores_is_none(kind, value):
    """Python takes 1_5 for 15, and so would the model learn it; who asks the model with it is refused."""
    found = sort_out(pd.DataFrame({"x": [value, "15"]}), [Column("x", kind)])
    assert [row.reason for row in found.rejected] == [f"x is {value}, which is no number"]
    assert found.table["x"].tolist() == [15.0]
