"""Python's garbage collector in a process that stays."""

import gc


def spare_what_stays() -> None:
    """Call once a process is ready: what start-up made is there until the end, and is not looked at again.

    Without it a full collection goes through every module, class and translation: a tenth of a second, which
    falls on whichever page makes many objects (measured on the grid of 10,000 squares: half of its time).
    """
    gc.collect()
    gc.freeze()
