"""Which rows are held out: decided by a hash of the row's key, for ever, so no model ever trains on them."""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np


def is_holdout(keys: Iterable[object], share: float) -> np.ndarray:
    """One boolean a key. A larger share holds every row that a smaller one holds."""
    return np.array([_position(key) < share for key in keys], dtype=bool)


def _position(key: object) -> float:
    """A number in 0..1, evenly spread, the same on every machine."""
    return int.from_bytes(sha256(str(key).encode()).digest()[:8]) / 2**64
