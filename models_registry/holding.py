"""What every action does first: take the model's row, then the version's, and look at the reason given."""

from django.utils.translation import gettext as _

from core.lib import edge, json_bodies
from core.lib.errors import NotFound
from models_registry import ledger
from models_registry.models import ModelVersion, RegisteredModel
from models_registry.states import LONGEST_REASON


def held_model(model_name: str) -> RegisteredModel:
    """The model's row until the transaction ends. Raises NotFound."""
    try:
        return ledger.locked(model_name)
    except RegisteredModel.DoesNotExist:
        raise NotFound(_("There is no model %(name)s.") % {"name": model_name}) from None


def held_version(model_name: str, version: int) -> ModelVersion:
    """The version's row, and its model's, until the transaction ends. Raises NotFound."""
    model = held_model(model_name)
    row = model.versions.select_for_update().filter(version=version).first()
    if row is None:
        raise NotFound(_("%(model)s has no version %(version)s.") % {"model": model_name, "version": version})
    row.model = model
    return row


def checked_reason(reason: str) -> str:
    """Raises InvalidRequest, at the field, when nothing is said."""
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise edge.refused("reason", _("Say why, in at most 2,000 characters."))
    if words := json_bodies.fault(reason):
        raise edge.refused("reason", words)
    return reason
