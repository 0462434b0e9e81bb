"""Which version gave a recorded answer: whether it serves still, and its spec."""

from models_registry import queries as registry
from predictions.models import Prediction
from predictions.serving import service
from predictions.serving.served import Served
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec


def serving(found: Prediction) -> Served | None:
    """The model that answered, while its version serves."""
    served = service.started().engine.served.get(found.model)
    return served if served is not None and served.ref.version == found.version else None


def spec_of(found: Prediction) -> Spec | None:
    """The spec of the version that answered; None once nobody knows it, or can read it, any more."""
    served = serving(found)
    if served is not None:
        return served.spec
    text = registry.spec_json(found.model, int(found.version)) if found.version.isdigit() else None
    try:
        return read_spec(text) if text else None
    except SpecError:  # written for an older release
        return None
