"""How the service behaves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingInvalid(ValueError):
    """A variable holds what it cannot; the message names it."""


@dataclass(frozen=True)
class Settings:
    """wait_s: until forest cover's next batch. slow_s: of one answer in three with listings; 0: none is slow.

    refuse_every: each so manieth call for listings is refused with 429; 0: none is.
    """

    state_file: Path
    data_dir: Path | None = None
    wait_s: float = 300.0
    slow_s: float = 2.0
    refuse_every: int = 5

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingInvalid."""
        folder = environ.get("CONSOLE_DATA_DIR")
        return cls(
            state_file=Path(environ.get("CONSOLE_VAR_DIR") or "var") / "course_api" / "state.json",
            data_dir=Path(folder) if folder else None,
            wait_s=_number(environ, "COURSE_API_WAIT_S", cls.wait_s),
            slow_s=_number(environ, "COURSE_API_SLOW_S", cls.slow_s, at_most=5.0),
            refuse_every=int(_number(environ, "COURSE_API_REFUSE_EVERY", cls.refuse_every)),
        )


def _number(environ: Mapping[str, str], name: str, default: float, *, at_most: float = math.inf) -> float:
    said = environ.get(name)
    if not said:
        return default
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf and value <= at_most):
        limit = f" of at most {at_most:g}" if at_most < math.inf else ""
        raise SettingInvalid(f"{name} is {said!r}: it must be a number{limit}, not below 0.")
    return value
