"""What templates know about the signed-in user's rights."""

from django.http import HttpRequest

from core.access import policy


def may(request: HttpRequest) -> dict[str, dict[str, bool]]:
    """`may.pipelines_run` is true when the user holds the scope `pipelines.run`."""
    user = getattr(request, "user", None)
    held = policy.scopes_of(user) if user is not None else frozenset()
    return {"may": {scope.replace(".", "_"): scope in held for scope in policy.SCOPES}}
