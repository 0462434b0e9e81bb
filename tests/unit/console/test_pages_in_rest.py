"""What a page can do a program can do: each page route that changes something has its REST call, or a reason.

Routes are found by sending a POST to each, so a new action of a page fails here until it stands in a table.
"""

import pytest

from console import openapi
from core.access import policy
from tests.unit.console.test_role_matrix import IN_TABLE, Caller, methods_of

# view name of a page: the REST calls that do the same, below /api/v1.
IN_REST = {
    "access:limit-lift": ["POST /sign-in-limits/lift"],
    "access:token-list": ["POST /tokens"],
    "access:token-revoke": ["DELETE /tokens/{id}"],
    "access:user-activate": ["PATCH /users/{username}"],
    "access:user-create": ["POST /users"],
    "access:user-deactivate": ["PATCH /users/{username}"],
    "access:user-detail": ["PATCH /users/{username}"],
    "access:user-reset-password": ["POST /users/{username}/reset-password"],
    "alerts:acknowledge-selected": ["POST /alerts/acknowledge"],
    "alerts:alert-acknowledge": ["POST /alerts/{id}/acknowledge"],
    "alerts:alert-mute": ["POST /alerts/{id}/mute"],
    "alerts:alert-resolve": ["POST /alerts/{id}/resolve"],
    "alerts:channel-create": ["POST /channels"],
    "alerts:channel-edit": ["PATCH /channels/{id}"],
    "alerts:channel-remove": ["DELETE /channels/{id}"],
    "alerts:channel-rotate": ["POST /channels/{id}/rotate"],
    "alerts:channel-switch": ["PATCH /channels/{id}"],
    "alerts:channel-test": ["POST /channels/{id}/test"],
    "alerts:delivery-resend": ["POST /channels/{id}/deliveries/{delivery_id}/resend"],
    "drift:model-rules": ["PATCH /models/{name}/drift/rules"],
    "jobs:job-cancel": ["POST /jobs/{job_id}/cancel"],
    "jobs:job-restart": ["POST /jobs/{job_id}/restart"],
    "jobs:job-submit": ["POST /jobs", "POST /job-schedules"],
    "jobs:schedule-delete": ["DELETE /job-schedules/{id}"],
    "jobs:schedule-pause": ["PATCH /job-schedules/{id}"],
    "models:model-rollback": ["POST /models/{name}/rollback"],
    "models:policy-set": ["PATCH /models/{name}"],
    "models:promotion-decide": ["POST /promotions/{id}/approve", "POST /promotions/{id}/reject"],
    "models:promotion-withdraw": ["POST /promotions/{id}/withdraw"],
    "models:version-archive": ["POST /models/{name}/versions/{version}/archive"],
    "models:version-gate": ["POST /models/{name}/versions/{version}/gate"],
    "models:version-override": ["POST /models/{name}/versions/{version}/override"],
    "models:version-request": ["POST /models/{name}/versions/{version}/promotions"],
    "models:version-unarchive": ["POST /models/{name}/versions/{version}/unarchive"],
    "pipelines:alert-rule-create": ["POST /alert-rules", "POST /alert-rules/preview"],
    "pipelines:alert-rule-edit": ["PATCH /alert-rules/{rule_id}"],
    "pipelines:alert-rule-remove": ["DELETE /alert-rules/{rule_id}"],
    "pipelines:alert-rule-switch": ["PATCH /alert-rules/{rule_id}"],
    "pipelines:backfill-cancel": ["POST /backfills/{backfill_id}/cancel"],
    "pipelines:backfill-pause": ["POST /backfills/{backfill_id}/pause"],
    "pipelines:backfill-unpause": ["POST /backfills/{backfill_id}/unpause"],
    "pipelines:input-detail": ["POST /runs/questions/{input_id}/answer"],
    "pipelines:pipeline-backfills": [
        "POST /pipelines/{dag_id}/backfills",
        "POST /pipelines/{dag_id}/backfills/preview",
    ],
    "pipelines:pipeline-pause": ["PATCH /pipelines/{dag_id}"],
    "pipelines:pipeline-switches": ["POST /pipeline-switches"],
    "pipelines:preset-remove": ["DELETE /presets/{preset_id}"],
    "pipelines:run-cancel": ["POST /runs/{run_id}/cancel"],
    "pipelines:run-clear": ["POST /runs/{run_id}/clear"],
    "pipelines:run-mark": ["POST /runs/{run_id}/mark"],
    "pipelines:run-note": ["PATCH /runs/{run_id}"],
    "pipelines:run-trigger": ["POST /pipelines/{dag_id}/runs", "POST /pipelines/{dag_id}/presets"],
    "pipelines:run-withdraw": ["POST /runs/{run_id}/withdraw"],
    "pipelines:runs-selected": ["POST /runs/selected"],
    "predict:erase": ["DELETE /predictions/{id}"],
    "predict:feedback": ["POST /predictions/{id}/feedback"],
    "predict:one": ["POST /models/{name}/predict"],
    "predict:why": ["POST /models/{name}/explain"],
    "predict:batch-cancel": ["POST /models/{name}/batches/{id}/cancel"],
    "predict:batch-list": ["POST /models/{name}/batches"],
    "predict:batch-remove": ["DELETE /models/{name}/batches/{id}"],
    "streams:dead-letter-redrive": ["POST /streams/{name}/dead-letters/{id}/redrive"],
    "streams:group-delete": ["DELETE /consumer-groups/{group}"],
    "streams:group-offsets": ["POST /consumer-groups/{group}/offsets"],
    "streams:replay-list": ["POST /replays"],
    "streams:replay-stop": ["POST /replays/{id}/stop"],
    "streams:stream-create": ["POST /streams"],
    "streams:stream-definition": ["PATCH /streams/{name}"],
    "streams:stream-delete": ["DELETE /streams/{name}"],
    "streams:topic-config": ["PATCH /topics/{name}"],
    "streams:topic-create": ["POST /topics"],
    "streams:topic-delete": ["DELETE /topics/{name}"],
    "streams:topic-partitions": ["PATCH /topics/{name}"],
    "streams:topic-produce": ["POST /topics/{name}/messages"],
    "streams:topic-purge": ["POST /topics/{name}/purge"],
    "usecases:load-test-list": ["POST /usecases/{name}/load-tests"],
}
# view name of a page: why there is no such call.
ON_PAGES_ALONE = {
    "access:password-change": "a person's own proof, in a session: no token may take the account over",
    "access:preferences": "how pages speak to a person; REST follows the headers of each call, in UTC",
    "access:sign-in": "begins a session; a program has a token",
    "access:sign-out": "ends a session; a token is revoked",
    "console:csp-report": "browsers send it by themselves",
    "demo:dismiss": "closes a box of the overview, and does nothing else",
    "pipelines:run-conf": "writes the fields of a half-filled form as JSON; a program has the JSON",
    "predict:check": "looks at a half-filled form; a program gets faults and warnings with its answer",
}


def takes_post(caller: Caller, view_name: str, arguments: dict) -> bool:
    return caller.call("POST", view_name, arguments).status_code != 405


@pytest.fixture
def changing(db, monkeypatch):
    """Page routes that answer a POST."""
    monkeypatch.setattr("streaming.gateway.TIMEOUT_S", 0.05)
    caller = Caller(policy.ADMIN)
    return {
        name
        for name, arguments, callback in IN_TABLE
        if not name.startswith(("api:", "v2:"))
        and "POST" in methods_of(name, callback)
        and takes_post(caller, name, arguments)
    }


def test_each_page_that_changes_something_has_a_rest_call_or_a_reason(changing):
    assert IN_REST.keys() & ON_PAGES_ALONE.keys() == set()
    assert changing == IN_REST.keys() | ON_PAGES_ALONE.keys()


@pytest.mark.parametrize("view_name", IN_REST)
def test_the_calls_are_there_for_whoever_may_use_the_page(view_name):
    scopes = {
        f"{one['method']} {one['path'].removeprefix('/api/v1')}": one["scope"]
        for group in openapi.groups()
        for one in group["operations"]
    }
    for call in IN_REST[view_name]:
        assert call in scopes, f"openapi.yaml has no {call}"
        assert holders(scopes[call]) == holders(policy.needed(view_name, "POST")), call


def holders(scope: str | None) -> frozenset[str]:
    """Roles that may; "" and "signed in" are for all."""
    return policy.SCOPES.get(scope or "", frozenset(policy.ROLES))
