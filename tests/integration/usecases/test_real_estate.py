"""The listings' journey on real servers: three batches, judged, trained on or not, one model live."""

import pytest

from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


def test_batches_are_judged_and_a_house_gets_its_price(stack: RunningStack):
    table = stack.manage("run_usecase", "real_estate", "--small")
    for told in ("There is no champion yet", "not trained", "5\u202f000 are enough", "may go live"):
        assert told in table, table
    assert "hold-out mae" in table
    assert "a house in Agawam" in table
