"""The two small machines: what a model version and a promotion request can be, and what may follow what."""

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib.errors import Conflict


class VersionState(models.TextChoices):
    CANDIDATE = "candidate", gettext_lazy("candidate")
    PASSED = "passed", gettext_lazy("passed")
    FAILED = "failed", gettext_lazy("failed")
    CHAMPION = "champion", gettext_lazy("champion")
    RETIRED = "retired", gettext_lazy("retired")
    ARCHIVED = "archived", gettext_lazy("archived")


class RequestState(models.TextChoices):
    REQUESTED = "requested", gettext_lazy("requested")
    APPROVED = "approved", gettext_lazy("approved")
    REJECTED = "rejected", gettext_lazy("rejected")
    WITHDRAWN = "withdrawn", gettext_lazy("withdrawn")
    EXPIRED = "expired", gettext_lazy("expired")


class GateState(models.TextChoices):
    REQUESTED = "requested", gettext_lazy("requested")
    RUNNING = "running", gettext_lazy("running")
    PASSED = "passed", gettext_lazy("passed")
    FAILED = "failed", gettext_lazy("failed")
    ERROR = "error", gettext_lazy("error")


class Policy(models.TextChoices):
    PERSON = "person", gettext_lazy("a person approves")
    AUTOMATIC = "automatic", gettext_lazy("a conclusive pass promotes")


class ServeAs(models.TextChoices):
    ONNX = "onnx", "ONNX"
    RUNNER = "runner", gettext_lazy("runner")


OPEN_GATES = (GateState.REQUESTED, GateState.RUNNING)
VERDICTS = (GateState.PASSED, GateState.FAILED)
LONGEST_REASON = 2000

# The gate may judge a version again: files that were missing arrive, and champions change. All but the
# champion can be archived; what comes back has to pass the gate anew, unless it was champion once.
VERSION_STEPS: dict[str, frozenset[str]] = {
    VersionState.CANDIDATE: frozenset({VersionState.PASSED, VersionState.FAILED, VersionState.ARCHIVED}),
    VersionState.PASSED: frozenset(
        {VersionState.PASSED, VersionState.FAILED, VersionState.CHAMPION, VersionState.ARCHIVED}
    ),
    VersionState.FAILED: frozenset({VersionState.PASSED, VersionState.FAILED, VersionState.ARCHIVED}),
    VersionState.CHAMPION: frozenset({VersionState.RETIRED}),
    VersionState.RETIRED: frozenset({VersionState.CHAMPION, VersionState.ARCHIVED}),
    VersionState.ARCHIVED: frozenset({VersionState.CANDIDATE, VersionState.RETIRED}),
}
REQUEST_STEPS: dict[str, frozenset[str]] = {
    RequestState.REQUESTED: frozenset(set(RequestState) - {RequestState.REQUESTED}),
}


def check_step(steps: dict[str, frozenset[str]], now: str, then: str, what: object) -> None:
    """Raises Conflict, naming `what`, when `then` cannot follow `now`."""
    if then not in steps.get(now, frozenset()):
        raise Conflict(
            _("%(what)s is %(now)s, so it cannot become %(then)s.") % {"what": what, "now": now, "then": then}
        )
