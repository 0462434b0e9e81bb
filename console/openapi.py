"""The REST API described: the schema made from the code once a process, and its page.

The committed `openapi.yaml` is the same text; a test compares them and `make openapi` writes it.
"""

import re
from functools import cache
from itertools import product
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_GET
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from console import openapi_shapes
from core.access import policy

SAMPLES = ("1", "00000000-0000-7000-8000-000000000000")  # each parameter of a path takes one of them
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "error": {"type": "string", "description": "Under /v2 alone: detail and errors in one text."},
        "errors": {
            "type": "array",
            "description": "Faults of single fields.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "row": {"type": "integer"},
                    "field": {"type": "string", "description": "Empty where no single field is at fault."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "The same key and body within 24 hours get the first answer again; nothing is done twice."
    " Answers with 4xx and 5xx are not kept: the key takes the corrected call.",
}


class ConsoleAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A token, or the session of the page."""

    target_class = "core.access.authentication.ConsoleAuthentication"
    name = ["token", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        """One for each name."""
        return [
            {"type": "http", "scheme": "bearer"},
            {"type": "apiKey", "in": "cookie", "name": "atalaya_session"},
        ]


def add_common(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """What every operation has: problems as errors, and the Idempotency-Key of a POST."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for item in result["paths"].values():
        for method in METHODS:
            if method in item:
                item[method]["responses"]["default"] = {"description": "An error.", "content": content}
        if "post" in item:
            item["post"].setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    return result


@cache
def document() -> dict[str, Any]:
    """The whole schema; making it takes half a second, so it is made once."""
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call,no-any-return]


@cache
def as_yaml() -> bytes:
    """The schema as it is committed."""
    return OpenApiYamlRenderer().render(document(), renderer_context={})  # type: ignore[no-untyped-call,no-any-return]


@require_GET
def schema(request: HttpRequest) -> HttpResponse:
    """YAML, or JSON with `?format=json` or when only JSON is accepted."""
    if request.GET.get("format") == "json" or request.headers.get("Accept", "") == "application/json":
        return HttpResponse(orjson.dumps(document()), content_type="application/vnd.oai.openapi+json")
    return HttpResponse(as_yaml(), content_type="application/vnd.oai.openapi; charset=utf-8")


@require_GET
def docs(request: HttpRequest) -> HttpResponse:
    """Every operation with the right it needs, its parameters, what it takes and what it answers."""
    return render(request, "console/api_docs.html", {"groups": groups(), "nav": "system"})


@cache
def groups() -> list[dict[str, Any]]:
    """Operations by the first word of their path."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                found.setdefault(word_of(path), []).append(_operation(path, method, item[method]))
    return [{"name": name, "operations": operations} for name, operations in sorted(found.items())]


def word_of(path: str) -> str:
    """The first of the path, behind what all of a kind begin with."""
    return path.removeprefix("/api/v1").split("/")[1]


def _operation(path: str, method: str, found: dict[str, Any]) -> dict[str, Any]:
    schemas = document()["components"]["schemas"]
    answers = [
        (status, answer) for status, answer in sorted(found["responses"].items()) if status != "default"
    ]
    return {
        "id": found["operationId"],
        "method": method.upper(),
        "path": path,
        "description": found.get("description", ""),
        "scope": _scope(path, method),
        "parameters": found.get("parameters", []),
        "takes": openapi_shapes.of_content(found.get("requestBody", {}), schemas),
        "answers": [
            {"status": status, "shape": openapi_shapes.of_content(answer, schemas)}
            for status, answer in answers
        ],
    }


def _scope(path: str, method: str) -> str:
    """The scope that the table asks for, or "public"; empty when being signed in is enough."""
    names = re.findall(r"\{(\w+)\}", path)
    for values in product(SAMPLES, repeat=len(names)):
        try:
            view_name = resolve(path.format(**dict(zip(names, values, strict=True)))).view_name
        except Resolver404:
            continue
        rule = policy.needed(view_name, method.upper())
        return "" if rule in {None, policy.SIGNED_IN} else str(rule)
    return ""
