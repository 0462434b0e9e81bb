"""The demonstration's users: pages mark what they did, also in the audit trail when they are gone."""

from typing import Final

ENGINEER: Final = "demo-engineer"
SCIENTIST: Final = "demo-scientist"
APPROVER: Final = "demo-approver"

NAMES: Final = frozenset({ENGINEER, SCIENTIST, APPROVER})
