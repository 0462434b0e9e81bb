"""Personal fields of a recorded prediction: for who asked for it, and for roles that see all predictions."""

from typing import Any

from django.contrib.auth.models import AnonymousUser

from core.access import policy
from core.access.models import User
from predictions import answered
from predictions.models import Prediction

MASK = "•••"


def inputs(found: Prediction, *, by: User | AnonymousUser) -> dict[str, Any]:
    """The inputs as `by` may see them; all of them are masked where nobody knows the spec any more."""
    given: dict[str, Any] = found.inputs
    if found.user_id == by.pk or policy.allows(by, "predictions.see_all"):
        return given
    spec = answered.spec_of(found)
    personal = {field.name for field in spec.fields if field.personal} if spec else set(given)
    return {name: MASK if name in personal else value for name, value in given.items()}
