"""What start-up made is not looked at again by the collector."""

import gc

from core.lib import collector


def test_objects_of_the_start_are_spared_and_later_ones_are_not():
    made = [{"number": number} for number in range(1000)]
    try:
        collector.spare_what_stays()
        assert gc.get_freeze_count() > len(made)
        assert all(one is not made[0] for one in gc.get_objects())
        later = {"number": 1000, "of": made}
        assert any(one is later for one in gc.get_objects())
    finally:
        gc.unfreeze()
