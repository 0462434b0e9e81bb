"""Lists over REST: `{"results": […], "next": url | null}`, cursor pages that stay right while rows arrive."""

from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.response import Response


class CursorPages(CursorPagination):
    """Newest first; `limit` up to 200. A view sets `ordering` where its rows have another order."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-pk"

    def get_paginated_response(self, data: list[Any]) -> Response:
        """Only results and the way on: nothing counts all rows."""
        return Response({"results": data, "next": self.get_next_link()})

    def get_paginated_response_schema(self, schema: dict) -> dict:
        """The same, for OpenAPI."""
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {"type": "string", "format": "uri", "nullable": True},
            },
        }
