"""Every operation of the REST API with the scope it needs and the roles that hold it.

From the source of `openapi.yaml` and from the table of routes.
"""

from typing import Any

from console import openapi
from core.access import policy
from stack.reference.markdown import code, notice, table

HEAD = f"""{notice("the API's schema and the table of routes in `core/access/policy.py`")}

# REST API

The same is at `/api/docs` of an installation, with the shape of every body, and for programs in
`openapi.yaml` and at `/api/schema`.

Send a token as `Authorization: Bearer …`; [roles and scopes](roles.md) says who may have which. Errors are
`application/problem+json` with `type`, `title`, `status`, `detail`, and `errors` by field; under `/v2` also
with `error`, as its protocol has it. Lists answer
`{{"results": […], "next": url | null}}`. What starts something answers 202 with its row, and honours an
`Idempotency-Key`: the same key and body within 24 hours get the first answer again, another body 422.
Refusals and failures (4xx, 5xx) did nothing and are not kept: the same key takes the corrected call. Nor are
answers that show a secret once.

What pages do calls do too, but for four things of a person in a session: signing in and out, one's own
password, and the language and time zone of one's pages. A token must not take an account over, and answers
here follow `Accept-Language`, with times in UTC.

News comes by a websocket at `/ws/live`, to a program that sends its token with the handshake: after
`{{"subscribe": ["runs"]}}` it hears `{{"topic", "seq", "at", "kind": "changed", "ids": […]}}`, and nothing
of what its scopes do not allow.
"""
# of every list, or said above
_COMMON = {"cursor", "limit", "Idempotency-Key"}


def page() -> str:
    lines = [HEAD]
    for group in openapi.groups():
        rows = [_row(operation) for operation in group["operations"]]
        lines += [f"## {group['name']}", "", *table(("call", "does", "scope", "roles"), rows)]
    return "\n".join(lines).rstrip() + "\n"


def _row(operation: dict[str, Any]) -> tuple[str, str, str, str]:
    call = code(f"{operation['method']} {operation['path'].removeprefix('/api/v1')}")
    given = [
        found["name"]
        for found in operation["parameters"]
        if found["in"] in ("query", "header") and found["name"] not in _COMMON
    ]
    more = f" Parameters: {', '.join(code(name) for name in given)}." if given else ""
    scope = operation["scope"]
    return call, _plain(operation["description"]) + more, code(scope) or "signed in", _roles(scope)


def _roles(scope: str) -> str:
    if scope in ("", policy.PUBLIC):
        return "all" if not scope else "everybody"
    return ", ".join(role for role in policy.ROLES if role in policy.SCOPES[scope])


def _plain(text: str) -> str:
    """Nothing that Markdown would take for a tag."""
    return text.replace("<", "&lt;")
