"""How far each group has come; kept in a file, so that a restart of the service forgets nothing."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.lib.files import write_whole

NONE_YET = -1


@dataclass
class Progress:
    """Of forest cover: when the last new batch was given (unix time), and its number."""

    at: float = 0.0
    batch_number: int = NONE_YET


@dataclass
class Listings:
    """Of one day's listings: batches given, and all calls."""

    given: int = 0
    calls: int = 0


@dataclass
class State:
    """forest_cover: by group. real_estate: by "group day"."""

    forest_cover: dict[str, Progress] = field(default_factory=dict)
    real_estate: dict[str, Listings] = field(default_factory=dict)

    def forget(self, groups: Iterable[str]) -> None:
        for group in groups:
            self.forest_cover.pop(group, None)
            for key in [key for key in self.real_estate if key.partition(" ")[0] == group]:
                del self.real_estate[key]


class Store:
    """The state and its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._state = _read(path)

    @contextmanager
    def changing(self) -> Iterator[State]:
        """Written whatever becomes of the block: a call that fails has been a call."""
        try:
            yield self._state
        finally:
            write_whole(self._path, json.dumps(asdict(self._state), indent=1, sort_keys=True))


def _read(path: Path) -> State:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        return State(
            {group: Progress(**values) for group, values in told["forest_cover"].items()},
            {key: Listings(**values) for key, values in told["real_estate"].items()},
        )
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"{path} cannot be read ({error}): all groups start anew.\n")
        return State()
