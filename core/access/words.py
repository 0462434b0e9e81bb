"""What each role and each scope stands for, in words for pages."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core.access import policy

# What stands in the audit trail for a name that nobody has: people type passwords into its field.
UNKNOWN_NAME: Final = "unknown name"

ROLES: Final[dict[str, Promise]] = {
    policy.VIEWER: _("Looks at pipelines, runs and models, and changes nothing"),
    policy.PREDICTOR: _("Gets predictions, and sees their own"),
    policy.ENGINEER: _("Runs pipelines, and sees every prediction"),
    policy.SCIENTIST: _("Runs pipelines, has versions checked and asks for their promotion"),
    policy.APPROVER: _("Decides which version is served"),
    policy.ADMIN: _("Manages users, tokens and the system, and may do all that others may"),
}

SCOPES: Final[dict[str, Promise]] = {
    "see": _("See pipelines, runs and models"),
    "predict": _("Get predictions, and see your own"),
    "predictions.see_all": _("See everybody's predictions"),
    "pipelines.run": _("Trigger, pause, clear and cancel pipelines"),
    "messages.read": _("Read messages of topics"),
    "streams.edit": _("Define streams, replay files, send dead letters again"),
    "jobs.run": _("Submit and cancel Spark jobs"),
    "models.gate": _("Start the gate of a model version"),
    "models.request": _("Request a promotion"),
    "models.archive": _("Archive model versions, and bring them back"),
    "models.decide": _("Approve or reject promotions, and roll back"),
    "drift.rules": _("Change the rules by which models are watched for drift"),
    "alerts.report": _("Report alerts of Prometheus"),
    "alerts.rules": _("Change the rules by which pipelines raise alerts, and whom alerts are sent to"),
    "alerts.handle": _("Acknowledge, mute and resolve alerts"),
    "tokens": _("List, make and revoke your own API tokens"),
    "admin": _("Manage users, roles, tokens, the audit trail and the system"),
}
