"""Who may do what: the one table of roles and scopes, and the one table of routes and the scope each needs.

A route that is not in `ROUTES` is refused to everybody. `check` is what actions call.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from core.access.models import User

VIEWER, PREDICTOR, ENGINEER, SCIENTIST, APPROVER, ADMIN = ROLES = (
    "viewer",
    "predictor",
    "engineer",
    "scientist",
    "approver",
    "admin",
)

# scope: the roles that hold it. A scope exists once something needs it.
SCOPES: Final[dict[str, frozenset[str]]] = {
    "see": frozenset({VIEWER, ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "predict": frozenset({PREDICTOR, ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "predictions.see_all": frozenset({ENGINEER, SCIENTIST, ADMIN}),
    "pipelines.run": frozenset({ENGINEER, SCIENTIST, ADMIN}),
    "messages.read": frozenset({ENGINEER, SCIENTIST, ADMIN}),
    "streams.edit": frozenset({ENGINEER, ADMIN}),
    "jobs.run": frozenset({ENGINEER, ADMIN}),
    "models.gate": frozenset({SCIENTIST, ADMIN}),
    "models.request": frozenset({SCIENTIST, ADMIN}),
    "models.archive": frozenset({SCIENTIST, ADMIN}),
    "models.decide": frozenset({APPROVER, ADMIN}),
    "alerts.handle": frozenset({ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "alerts.report": frozenset({ENGINEER, ADMIN}),
    "alerts.rules": frozenset({ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "drift.rules": frozenset({SCIENTIST, ADMIN}),
    "tokens": frozenset(ROLES),
    "admin": frozenset({ADMIN}),
}

_TRAINS: Final = frozenset({"see", "models.gate", "models.request"})
# Pipelines act under these names. They cannot sign in; their tokens never open more than this.
PRINCIPALS: Final[dict[str, frozenset[str]]] = {
    "system:titanic_training": _TRAINS,
    "system:forest_cover_training": _TRAINS,
    "system:real_estate_monitor": _TRAINS | {"predict", "predictions.see_all"},
    "system:diabetes_training": _TRAINS,
    "system:taxi_batch": frozenset({"see", "jobs.run"}),
    "system:taxi_training": _TRAINS,
    # No pipeline: the aggregator, where the rule of a stream names a model.
    "system:anomaly_rule": frozenset({"predict"}),
    # Neither this: Prometheus' alerts come in under it.
    "system:alertmanager": frozenset({"alerts.report"}),
}

PUBLIC: Final = "public"
SIGNED_IN: Final = "signed in"

# view name: the scope it needs, or a scope for each method. GET stands for HEAD and OPTIONS too.
ROUTES: dict[str, str | dict[str, str]] = {
    # console
    "console:overview": SIGNED_IN,
    "console:overview-health": "see",
    "console:health-dot": "see",
    "console:search": SIGNED_IN,
    "console:doctor": "admin",
    "console:doctor-findings": "admin",
    "console:livez": PUBLIC,
    "console:readyz": PUBLIC,
    "console:metrics": PUBLIC,
    "console:csp-report": PUBLIC,
    "console:api-schema": SIGNED_IN,
    "console:api-docs": SIGNED_IN,
    # demonstration
    "demo:box": "see",
    "demo:dismiss": {"POST": "admin"},
    # access
    "access:sign-in": PUBLIC,
    "access:sign-out": SIGNED_IN,
    "access:account": SIGNED_IN,
    "access:preferences": {"POST": SIGNED_IN},
    "access:password-change": SIGNED_IN,
    "access:token-list": SIGNED_IN,
    "access:token-revoke": SIGNED_IN,
    "access:system": "admin",
    "access:service-list": "admin",
    "access:limit-list": "admin",
    "access:limit-lift": {"POST": "admin"},
    "access:role-list": "admin",
    "access:user-list": "admin",
    "access:user-create": "admin",
    "access:user-detail": "admin",
    "access:user-deactivate": "admin",
    "access:user-activate": "admin",
    "access:user-reset-password": "admin",
    "access:all-token-list": "admin",
    "api:me": SIGNED_IN,
    "api:token-list": "tokens",
    "api:token-detail": "tokens",
    "api:sign-in-limit-list": "admin",
    "api:sign-in-limit-lift": {"POST": "admin"},
    "api:user-list": "admin",
    "api:user-detail": "admin",
    "api:user-reset-password": {"POST": "admin"},
    "api:role-list": "admin",
    # audit
    "audit:entry-list": "admin",
    "audit:entry-detail": "admin",
    "audit:entry-export": "admin",
    "audit:for-object": SIGNED_IN,  # `OBJECTS` says the rest
    "api:audit-list": "admin",
    "api:audit-chain": "admin",
    # alerts
    "alerts:alert-list": "see",
    "alerts:alert-detail": "see",
    "alerts:alert-acknowledge": {"POST": "alerts.handle"},
    "alerts:alert-mute": {"POST": "alerts.handle"},
    "alerts:alert-resolve": {"POST": "alerts.handle"},
    "alerts:acknowledge-selected": {"POST": "alerts.handle"},
    "alerts:bell": "see",
    "alerts:overview-box": "see",
    "alerts:set-aside-list": "admin",
    "api:set-aside-list": "admin",
    "api:alert-list": "see",
    "api:alert-detail": "see",
    "api:alert-prometheus": {"POST": "alerts.report"},
    "api:alerts-acknowledge": {"POST": "alerts.handle"},
    "api:alert-acknowledge": {"POST": "alerts.handle"},
    "api:alert-mute": {"POST": "alerts.handle"},
    "api:alert-resolve": {"POST": "alerts.handle"},
    "alerts:channel-list": "see",
    "alerts:channel-create": "alerts.rules",
    "alerts:channel-detail": "see",
    "alerts:channel-edit": "alerts.rules",
    "alerts:channel-switch": {"POST": "alerts.rules"},
    "alerts:channel-rotate": {"POST": "alerts.rules"},
    "alerts:channel-test": {"POST": "alerts.rules"},
    "alerts:channel-remove": {"POST": "alerts.rules"},
    "alerts:delivery-resend": {"POST": "alerts.rules"},
    "api:channel-list": {"GET": "see", "POST": "alerts.rules"},
    "api:channel-detail": {"GET": "see", "PATCH": "alerts.rules", "DELETE": "alerts.rules"},
    "api:channel-rotate": {"POST": "alerts.rules"},
    "api:channel-test": {"POST": "alerts.rules"},
    "api:delivery-list": "see",
    "api:delivery-resend": {"POST": "alerts.rules"},
    # pipelines
    "pipelines:pipeline-list": "see",
    "pipelines:pipeline-detail": "see",
    "pipelines:pipeline-graph": "see",
    "pipelines:pipeline-runs": "see",
    "pipelines:pipeline-facts": "see",
    "pipelines:pipeline-durations": "see",
    "pipelines:pipeline-code": "see",
    "pipelines:asset-list": "see",
    "pipelines:asset-detail": "see",
    "pipelines:pipeline-backfills": {"GET": "see", "POST": "pipelines.run"},
    "pipelines:backfill-list": "see",
    "pipelines:backfill-detail": "see",
    "pipelines:backfill-pause": {"POST": "pipelines.run"},
    "pipelines:backfill-unpause": {"POST": "pipelines.run"},
    "pipelines:backfill-cancel": {"POST": "pipelines.run"},
    "pipelines:airflow": "see",
    "pipelines:pipeline-in-airflow": "see",
    "pipelines:run-in-airflow": "see",
    "pipelines:pipeline-pause": {"POST": "pipelines.run"},
    "pipelines:pipeline-switches": {"POST": "pipelines.run"},
    "pipelines:import-fault-list": "see",
    "pipelines:run-trigger": "pipelines.run",
    "pipelines:run-conf": {"POST": "pipelines.run"},
    "pipelines:preset-remove": {"POST": "pipelines.run"},
    "pipelines:run-list": "see",
    "pipelines:runs-selected": {"POST": "pipelines.run"},
    "pipelines:input-list": "see",
    "pipelines:input-detail": {"GET": "see", "POST": "pipelines.run"},
    "pipelines:recent-runs": "see",
    "pipelines:run-by-dag-run": "see",
    "pipelines:run-detail": "see",
    "pipelines:run-cancel": {"POST": "pipelines.run"},
    "pipelines:run-clear": "pipelines.run",
    "pipelines:run-clear-preview": "pipelines.run",
    "pipelines:run-mark": "pipelines.run",
    "pipelines:run-mark-preview": "pipelines.run",
    "pipelines:run-withdraw": {"POST": "pipelines.run"},
    "pipelines:run-note": {"POST": "pipelines.run"},
    "pipelines:run-failure": "see",
    "pipelines:run-log": "see",
    "pipelines:task-box": "see",
    "pipelines:task-log": "see",
    "pipelines:task-log-text": "see",
    "api:pipeline-list": "see",
    "api:pipeline-source": "see",
    "api:pipeline-durations": "see",
    "api:asset-list": "see",
    "api:asset-detail": "see",
    "api:asset-event-list": "see",
    "api:pipeline-backfill-list": {"GET": "see", "POST": "pipelines.run"},
    "api:backfill-preview": {"POST": "pipelines.run"},
    "api:backfill-list": "see",
    "api:backfill-detail": "see",
    "api:backfill-pause": {"POST": "pipelines.run"},
    "api:backfill-unpause": {"POST": "pipelines.run"},
    "api:backfill-cancel": {"POST": "pipelines.run"},
    "api:preset-list": {"GET": "see", "POST": "pipelines.run"},
    "api:preset-detail": {"GET": "see", "DELETE": "pipelines.run"},
    "api:pipeline-switches": {"POST": "pipelines.run"},
    "api:import-fault-list": "see",
    "api:pipeline-detail": {"GET": "see", "PATCH": "pipelines.run"},
    "api:pipeline-run-list": {"GET": "see", "POST": "pipelines.run"},
    "pipelines:alert-rule-list": "see",
    "pipelines:alert-rule-create": "alerts.rules",
    "pipelines:alert-rule-edit": {"GET": "see", "POST": "alerts.rules"},
    "pipelines:alert-rule-switch": {"POST": "alerts.rules"},
    "pipelines:alert-rule-remove": {"POST": "alerts.rules"},
    "api:alert-rule-list": {"GET": "see", "POST": "alerts.rules"},
    "api:alert-rule-preview": {"POST": "alerts.rules"},
    "api:alert-rule-detail": {"GET": "see", "PATCH": "alerts.rules", "DELETE": "alerts.rules"},
    "api:run-list": "see",
    "api:run-detail": {"GET": "see", "PATCH": "pipelines.run"},
    "api:run-failure": "see",
    "api:run-asset-events": "see",
    "api:run-cancel": {"POST": "pipelines.run"},
    "api:run-clear": {"POST": "pipelines.run"},
    "api:run-mark": {"POST": "pipelines.run"},
    "api:run-withdraw": {"POST": "pipelines.run"},
    "api:runs-selected": {"POST": "pipelines.run"},
    "api:input-list": "see",
    "api:input-detail": "see",
    "api:input-answer": {"POST": "pipelines.run"},
    "api:run-task-list": "see",
    "api:task-log": "see",
    "api:task-tries": "see",
    "api:task-details": "see",
    "api:task-xcoms": "see",
    "api:task-rendered": "see",
    # models_registry
    "models:model-list": "see",
    "models:champions": "see",
    "models:needs-you": "see",
    "models:model-detail": "see",
    "models:version-detail": "see",
    "models:version-metrics": "see",
    "models:version-artifacts": "see",
    "models:version-spec": "see",
    "models:version-history": "see",
    "models:promotion-list": "see",
    "models:experiment-list": "see",
    "models:experiment-detail": "see",
    "models:experiment-compare": "see",
    "models:runs-of-dag-run": "see",
    "models:run-detail": "see",
    "models:run-metric": "see",
    "models:run-artifacts": "see",
    "models:run-pictures": "see",
    "models:run-artifact": "see",
    "models:run-preview": "see",
    "models:policy-set": {"POST": "admin"},
    "models:model-rollback": {"POST": "models.decide"},
    "models:version-gate": {"POST": "models.gate"},
    "models:version-override": {"POST": "admin"},
    "models:version-request": {"POST": "models.request"},
    "models:version-archive": {"POST": "models.archive"},
    "models:version-unarchive": {"POST": "models.archive"},
    "models:promotion-decide": {"POST": "models.decide"},
    "models:promotion-withdraw": {"POST": "models.request"},
    "api:experiment-list": "see",
    "api:experiment-run-list": "see",
    "api:mlflow-run-detail": "see",
    "api:mlflow-run-metric": "see",
    "api:mlflow-run-artifacts": "see",
    "api:model-list": "see",
    "api:version-list": "see",
    "api:version-detail": "see",
    "api:model-history": "see",
    "api:model-spec": SIGNED_IN,  # to see or to predict: both need to know what a model takes
    "api:promotion-list": "see",
    "api:promotion-detail": "see",
    "api:version-gate": {"POST": "models.gate"},
    "api:version-override": {"POST": "admin"},
    "api:version-archive": {"POST": "models.archive"},
    "api:version-unarchive": {"POST": "models.archive"},
    "api:version-promotions": {"POST": "models.request"},
    "api:promotion-approve": {"POST": "models.decide"},
    "api:promotion-reject": {"POST": "models.decide"},
    "api:promotion-withdraw": {"POST": "models.request"},
    "api:model-rollback": {"POST": "models.decide"},
    "api:model-detail": {"GET": "see", "PATCH": "admin"},
    # streaming
    "streams:stream-list": "see",
    "streams:stream-create": "streams.edit",
    "streams:stream-detail": "see",
    "streams:stream-state": "see",
    "streams:stream-windows": "see",
    "streams:stream-definition": {"GET": "see", "POST": "streams.edit"},
    "streams:stream-delete": {"POST": "streams.edit"},
    "streams:anomaly-list": "see",
    "streams:dead-letter-list": "see",
    "streams:dead-letter-redrive": {"POST": "streams.edit"},
    "streams:overview-line": "see",
    "streams:topic-list": "see",
    "streams:group-list": "see",
    "streams:topic-create": "streams.edit",
    "streams:topic-detail": "see",
    "streams:topic-messages": "messages.read",
    "streams:topic-config": {"GET": "see", "POST": "streams.edit"},
    "streams:topic-settings": "see",
    "streams:topic-partitions": {"POST": "streams.edit"},
    "streams:topic-produce": "streams.edit",
    "streams:topic-purge": "streams.edit",
    "streams:topic-delete": "streams.edit",
    "streams:group-detail": "see",
    "streams:group-offsets": "streams.edit",
    "streams:group-delete": "streams.edit",
    "streams:replay-list": {"GET": "see", "POST": "streams.edit"},
    "streams:replay-stop": {"POST": "streams.edit"},
    "api:topic-list": {"GET": "see", "POST": "streams.edit"},
    "api:topic-detail": {"GET": "see", "PATCH": "streams.edit", "DELETE": "streams.edit"},
    "api:topic-config": "see",
    "api:topic-purge": {"POST": "streams.edit"},
    "api:message-list": {"GET": "messages.read", "POST": "streams.edit"},
    "api:group-list": "see",
    "api:group-detail": {"GET": "see", "DELETE": "streams.edit"},
    "api:group-offsets": {"GET": "see", "POST": "streams.edit", "DELETE": "streams.edit"},
    "api:stream-list": {"GET": "see", "POST": "streams.edit"},
    "api:stream-detail": {"GET": "see", "PATCH": "streams.edit", "DELETE": "streams.edit"},
    "api:window-list": "see",
    "api:anomaly-list": "see",
    "api:dead-letter-list": "see",
    "api:dead-letter-redrive": {"POST": "streams.edit"},
    "api:replay-list": {"GET": "see", "POST": "streams.edit"},
    "api:replay-detail": "see",
    "api:replay-stop": {"POST": "streams.edit"},
    # jobs
    "api:spark-app-list": "see",
    "api:job-list": {"GET": "see", "POST": "jobs.run"},
    "api:job-detail": "see",
    "api:job-schedule-list": {"GET": "see", "POST": "jobs.run"},
    "api:job-schedule-detail": {"PATCH": "jobs.run", "DELETE": "jobs.run"},
    "api:job-cancel": {"POST": "jobs.run"},
    "api:job-restart": {"POST": "jobs.run"},
    "api:job-log": "see",
    "jobs:job-list": "see",
    "jobs:recent-jobs": "see",
    "jobs:schedule-list": "see",
    "jobs:schedule-pause": {"POST": "jobs.run"},
    "jobs:schedule-delete": {"POST": "jobs.run"},
    "jobs:application-list": "see",
    "jobs:job-submit": "jobs.run",
    "jobs:job-detail": "see",
    "jobs:job-log": "see",
    "jobs:job-log-text": "see",
    "jobs:job-cancel": {"POST": "jobs.run"},
    "jobs:job-restart": {"POST": "jobs.run"},
    # use cases
    "api:usecase-list": "see",
    "api:usecase-detail": "see",
    "api:usecase-batch-list": "see",
    "api:usecase-rejected-list": "see",
    "api:usecase-decision-list": "see",
    "api:usecase-load-test-list": {"GET": "see", "POST": "pipelines.run"},
    "usecases:usecase-list": "see",
    "usecases:usecase-detail": "see",
    "usecases:batch-list": "see",
    "usecases:batch-detail": "see",
    "usecases:decision-list": "see",
    "usecases:feature-list": "see",
    "usecases:outliers": "see",  # of one's own predictions, unless one may see all
    "api:features": "see",
    "usecases:load-test-list": {"GET": "see", "POST": "pipelines.run"},
    # predictions
    "predict:index": "predict",
    "predict:one": "predict",
    "predict:check": {"POST": "predict"},
    "predict:why": {"POST": "predict"},
    "predict:mine": "predict",
    "predict:mine-export": "predict",
    "predict:api": "predict",
    "predict:recent": "predict",
    "predict:list": "predictions.see_all",
    "predict:list-export": "predictions.see_all",
    "predict:detail": "predict",
    "predict:why-recorded": "predict",
    "predict:feedback": {"POST": "predict"},
    "predict:erase": {"POST": "predict"},
    "drift:model-list": "see",
    "drift:model-detail": "see",
    "drift:model-filling": "see",
    "drift:model-box": "see",
    "drift:model-rules": {"GET": "see", "POST": "drift.rules"},
    "drift:window-detail": "see",
    "drift:window-evidence": "see",
    "api:model-drift": "see",
    "api:model-drift-rules": {"GET": "see", "PATCH": "drift.rules"},
    "api:model-predict": {"POST": "predict"},
    "api:model-invocations": {"POST": "predict"},
    "api:model-explain": {"POST": "predict"},
    "predict:batch-list": "predict",
    "predict:batch-template": "predict",
    "predict:batch": "predict",
    "predict:batch-result": "predict",
    "predict:batch-cancel": {"POST": "predict"},
    "predict:batch-remove": {"POST": "predict"},
    "api:batch-list": "predict",
    "api:batch-detail": {"GET": "predict", "DELETE": "predict"},
    "api:batch-result": "predict",
    "api:batch-cancel": {"POST": "predict"},
    "api:prediction-list": "predict",
    "api:prediction-detail": {"GET": "predict", "DELETE": "predict"},
    "api:prediction-feedback": {"POST": "predict"},
    "v2:live": PUBLIC,
    "v2:ready": PUBLIC,
    "v2:server": "predict",
    "v2:model": "predict",
    "v2:model-ready": "predict",
    "v2:model-infer": {"POST": "predict"},
    "v2:version": "predict",
    "v2:version-ready": "predict",
    "v2:version-infer": {"POST": "predict"},
}

# topic, or the part before its first colon: the scope that a subscription needs.
LIVE_TOPICS: Final[dict[str, str]] = {
    "pipelines": "see",
    "runs": "see",
    "run": "see",
    "inputs": "see",
    "backfills": "see",
    "log": "see",
    "models": "see",
    "model": "see",
    "promotions": "see",
    "streams": "see",
    "replays": "see",
    "jobs": "see",
    "job": "see",
    "predictions": "predict",
    "batches": "predict",
    "alerts": "see",
    "channels": "see",
    "alert-rules": "see",
    "drift": "see",
    "health": "see",
    "demo": "see",
    "load-tests": "see",
}


# type of an object as the audit trail names it: the scope without which nobody sees such an object, and so
# neither what happened to it. One's own predictions need less, but no page shows their entries.
OBJECTS: Final[dict[str, str]] = {
    "access": "admin",
    "access.apitoken": "admin",
    "access.user": "admin",
    "alerts.alert": "see",
    "alerts.channel": "see",
    "audit": "admin",
    "consumer_group": "see",
    "demo": "see",
    "demo.demonstration": "see",
    "drift": "see",
    "jobs.job": "see",
    "jobs.jobschedule": "see",
    "limit": "admin",
    "models_registry.modelversion": "see",
    "models_registry.promotionrequest": "see",
    "models_registry.registeredmodel": "see",
    "pipelines.alertrule": "see",
    "pipelines.pipeline": "see",
    "pipelines.inputrequest": "see",
    "pipelines.backfill": "see",
    "pipelines.preset": "see",
    "pipelines.run": "see",
    "predictions": "predictions.see_all",
    "predictions.prediction": "predictions.see_all",
    "predictions.predictionbatch": "predictions.see_all",
    "session": "admin",
    "streaming.deadletter": "see",
    "streaming.replay": "see",
    "streaming.stream": "see",
    "topic": "see",
    "usecases.loadtest": "see",
}


class Denied(PermissionDenied):
    """The user may not; `message` says which right is missing."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def scopes_of_roles(roles: Iterable[str]) -> frozenset[str]:
    """What these roles allow together."""
    names = frozenset(roles)
    return frozenset(scope for scope, holders in SCOPES.items() if not holders.isdisjoint(names))


def scopes_of(user: "User | AnonymousUser") -> frozenset[str]:
    """All scopes the user has now: those of their roles, less what their token leaves out."""
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    if user.is_system:
        return PRINCIPALS.get(user.username, frozenset()) & (user.token_scopes or frozenset())
    held = scopes_of_roles(user.role_names)
    return held if user.token_scopes is None else held & user.token_scopes


def token_scopes_of(user: "User | AnonymousUser") -> frozenset[str]:
    """What a token of the user may where nothing is said: all that they may, but not make more tokens.

    Nor people who could: `actions` asks an administrator's token for `tokens` besides.
    """
    return scopes_of(user) - {"tokens"}


def allows(user: "User | AnonymousUser", scope: str) -> bool:
    """Whether the user may do what `scope` stands for."""
    return scope in scopes_of(user)


def allows_route(user: "User | AnonymousUser", view_name: str) -> bool:
    """Whether the user may open the page or fragment of that name."""
    rule = needed(view_name, "GET")
    return rule is not None and (rule in {PUBLIC, SIGNED_IN} or allows(user, rule))


def check(user: "User | AnonymousUser", scope: str, what: object = "") -> None:
    """Raises Denied, with the missing right in words, unless the user holds `scope`."""
    if allows(user, scope):
        return
    roles = ", ".join(role for role in ROLES if role in SCOPES[scope])
    if getattr(user, "token_scopes", None) is not None:
        raise Denied(_("This token lacks the scope “%(scope)s”.") % {"scope": scope})
    subject = f" ({what})" if what else ""
    raise Denied(
        _(
            "Your roles do not include “%(scope)s”%(subject)s. These roles do: %(roles)s. "
            "An administrator can add one."
        )
        % {"scope": scope, "subject": subject, "roles": roles}
    )


def check_object(user: "User | AnonymousUser", object_type: str) -> None:
    """Raises Denied unless the user may see objects of this type; one that the table lacks is for admins."""
    check(user, OBJECTS.get(object_type, "admin"), object_type)


def needed(view_name: str, method: str) -> str | None:
    """What the route needs for the method; None when the table has no such route or method."""
    rule = ROUTES.get(view_name)
    if isinstance(rule, dict):
        return rule.get("GET" if method in {"HEAD", "OPTIONS"} else method)
    return rule
