"""Reads: whether an installation is still empty, and how the demonstration is, for the overview."""

from dataclasses import dataclass

from console.demo import taking
from console.demo.models import Demonstration, Step, StepState
from core.access.models import User
from pipelines import queries as pipelines
from predictions import queries as predictions


def is_empty() -> bool:
    """Whether nobody has used this installation: one user at most, no run, no prediction, no demonstration.

    One that was removed counts: who took it away does not want it back.
    """
    return not (
        Demonstration.objects.exists()
        or User.objects.filter(is_system=False)[1:].exists()
        or pipelines.runs().exists()
        or predictions.is_any_recorded()
    )


@dataclass(frozen=True)
class Box:
    """What the overview shows. n_done: steps behind it; seconds: that they took together."""

    demonstration: Demonstration
    steps: list[Step]
    n_done: int
    seconds: float


def shown() -> Box | None:
    """The demonstration with its steps, unless there is none or somebody closed its box."""
    found = taking.current()
    if found is None or found.is_dismissed:
        return None
    steps = list(found.steps.all())
    done = [step for step in steps if step.state == StepState.DONE]
    return Box(found, steps, len(done), sum(step.seconds or 0.0 for step in done))
