"""What a step has at hand: three users, what it and the steps before it found, and a way to wait."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from console.demo.errors import NoAnswer, NotAsExpected
from console.demo.models import Step
from console.demo.rest import Caller

LOOKS_EVERY_S: Final = 0.5


@dataclass(frozen=True)
class Scene:
    """`step` is the one at work; `meanwhile` is called while it waits."""

    engineer: Caller
    scientist: Caller
    approver: Caller
    serving_url: str
    steps: dict[str, Step]
    step: Step
    meanwhile: Callable[[], None]
    say: Callable[[str], None]

    @property
    def callers(self) -> tuple[Caller, Caller, Caller]:
        return self.engineer, self.scientist, self.approver

    @property
    def facts(self) -> dict[str, Any]:
        """What this step remembers."""
        return self.step.facts

    def of(self, name: str) -> dict[str, Any]:
        """What another step remembers."""
        return self.steps[name].facts

    def begin(self) -> None:
        """Remember when this attempt of the step began, unless it goes on with an earlier walk's."""
        if "begun_at" not in self.facts:
            self.step.keep(begun_at=datetime.now(UTC).isoformat())

    @property
    def begun_at(self) -> str:
        """As `begin` noted it."""
        return str(self.facts["begun_at"])

    def key(self, what: str) -> str:
        """An Idempotency-Key: the same however often the process dies, another when the step begins anew."""
        return f"demo-{self.step.demonstration_id}-{self.step.name}-{self.step.attempt}-{what}"

    def wait(self, what: str, look: Callable[[], Any], *, timeout_s: float) -> Any:
        """The first answer of `look` that is true. Raises NoAnswer, which names `what`."""
        deadline = time.monotonic() + timeout_s
        while not (seen := look()):
            if time.monotonic() > deadline:
                raise NoAnswer(f"expected {what} within {timeout_s:.0f} s; it did not come")
            self.meanwhile()
            time.sleep(LOOKS_EVERY_S)
        return seen


def is_since(at: str, since: str) -> bool:
    """Whether one moment of the REST API is not before another."""
    return datetime.fromisoformat(at) >= datetime.fromisoformat(since)


def check(is_so: bool, expected: str, came: object) -> None:
    """Raises NotAsExpected unless it is so."""
    if not is_so:
        raise NotAsExpected(expected, came)
