"""Schemas of OpenAPI in the short words that a person reads: `{"id": integer, "state": "a" | "b"}`."""

from typing import Any

DEEPEST = 6
INDENT = "  "


def of_content(holder: dict[str, Any], schemas: dict[str, Any]) -> str:
    """The shape of a body or an answer; empty when it has none. Content types share one shape here."""
    media: dict[str, Any] = next(iter(holder.get("content", {}).values()), {})
    return of_schema(media["schema"], schemas) if "schema" in media else ""


def of_schema(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> str:
    """The schema as text, with what it refers to put in place down to a few levels."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name if depth >= DEEPEST else of_schema(schemas[name], schemas, depth)
    for several in ("allOf", "oneOf", "anyOf"):
        if several in schema:
            return " | ".join(of_schema(one, schemas, depth) for one in schema[several]) + _null(schema)
    if "enum" in schema:
        return " | ".join("null" if value is None else f'"{value}"' for value in schema["enum"]) + _null(
            schema
        )
    if schema.get("type") == "array":
        return f"[{of_schema(schema.get('items', {}), schemas, depth + 1)}]" + _null(schema)
    if schema.get("properties"):
        return _object(schema, schemas, depth) + _null(schema)
    return _plain(schema) + _null(schema)


def _object(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> str:
    if depth >= DEEPEST:
        return "{…}"
    required = set(schema.get("required", []))
    pad = INDENT * (depth + 1)
    lines = [
        f'{pad}"{name}"{"" if name in required else "?"}: {of_schema(part, schemas, depth + 1)}'
        for name, part in schema["properties"].items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{INDENT * depth}}}"


def _plain(schema: dict[str, Any]) -> str:
    match schema.get("type"), schema.get("format"):
        case None, _:
            return "any"
        case "object", _:
            return "{…}"
        case "string", str(format_):
            return format_
        case kind, _:
            return str(kind)


def _null(schema: dict[str, Any]) -> str:
    return " | null" if schema.get("nullable") else ""
