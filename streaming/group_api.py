"""REST: consumer groups, as Kafka tells them and as people change them."""

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib.rest import valid
from streaming import group_actions, groups
from streaming import serializers as shapes
from streaming import topic_serializers as changes

GROUP = OpenApiParameter(
    "group", str, OpenApiParameter.PATH, description="Any text, percent-encoded; slashes may stand in it"
)


class GroupListView(APIView):
    """Consumer groups."""

    @extend_schema(
        operation_id="consumer_groups_list",
        parameters=[OpenApiParameter("topic", str, description="Only groups that have read from it")],
        responses=inline_serializer(
            "Groups",
            {
                "results": shapes.GroupSerializer(many=True),
                "next": serializers.URLField(allow_null=True),
                "problem": serializers.CharField(
                    help_text="Why groups may be missing, as when a broker is away; else empty."
                ),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """With their lag, by name, in one page."""
        found = groups.connect().groups(topic=request.query_params.get("topic", ""))
        results = shapes.GroupSerializer(found.groups, many=True).data
        return Response({"results": results, "next": None, "problem": found.problem})


class GroupDetailView(APIView):
    """One consumer group."""

    @extend_schema(
        operation_id="consumer_groups_retrieve",
        parameters=[GROUP],
        responses=changes.GroupDetailSerializer,
    )
    def get(self, request: Request, group: str) -> Response:
        """With its members, their partitions, and the offsets with their lag."""
        return Response(changes.GroupDetailSerializer(groups.connect().group(group)).data)

    @extend_schema(
        operation_id="consumer_groups_destroy",
        parameters=[GROUP],
        responses={204: None},
    )
    def delete(self, request: Request, group: str) -> Response:
        """Delete it with its offsets. 409 while it has members."""
        group_actions.delete_group(group, by=user_of(request))
        return Response(status=204)


class GroupOffsetsView(APIView):
    """Where a group goes on to read. A group may be called as this path ends: then it is that group."""

    @extend_schema(
        operation_id="consumer_groups_offsets",
        parameters=[GROUP],
        request=changes.ResetSerializer,
        responses=changes.ResetDoneSerializer,
    )
    def post(self, request: Request, group: str) -> Response:
        """Move its offsets of a topic; `dry_run` says what would become of each. 409 while it has members."""
        wish = valid(changes.ResetSerializer, request.data)
        found = group_actions.reset_offsets(group, **wish, by=user_of(request))
        return Response(changes.ResetDoneSerializer(found).data)

    @extend_schema(exclude=True)
    def get(self, request: Request, group: str) -> Response:
        """The group of that name."""
        return GroupDetailView().get(request, f"{group}/offsets")

    @extend_schema(exclude=True)
    def delete(self, request: Request, group: str) -> Response:
        """The group of that name."""
        return GroupDetailView().delete(request, f"{group}/offsets")
