"""Reads: whether an installation is still empty, and how the demonstration is, for the overview."""

from console.access.models import User
from console.demo import taking
from console.demo.models import Demonstration
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


def shown() -> Demonstration | None:
    """The demonstration with its steps, unless there is none or somebody closed its box."""
    found = taking.current()
    return found if found is not None and not found.is_dismissed else None
