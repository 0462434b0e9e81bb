"""Arithmetic of load tests: which steps, and how many users are still answered in time. No Django."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_USERS = 500
SHORTEST_S, LONGEST_S = 5, 300
LONGEST_P95_MS = 60_000
N_STEPS = 5
MOST_FAILURES_SHARE = 0.01  # of more, a step has not been answered


def steps(users: int) -> list[int]:
    """How many users each step has: five steps of the same height, fewer for fewer users."""
    n = min(N_STEPS, users)
    return [round(users * place / n) for place in range(1, n + 1)]


def max_users_within(measured: Sequence[Mapping[str, Any]], p95_ms: float) -> int:
    """The users of the last step before the first that was too slow, or failed; 0 when the first was."""
    most = 0
    for step in measured:
        is_slow = step["p95"] is None or step["p95"] > p95_ms
        if is_slow or step["failures"] > MOST_FAILURES_SHARE * step["requests"]:
            break
        most = int(step["users"])
    return most
