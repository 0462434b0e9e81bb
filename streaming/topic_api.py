"""REST: topics and messages, as Kafka tells them and as people change them."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib.rest import valid
from streaming import gateway, outgoing, reading, topic_actions, topic_admin
from streaming import serializers as shapes
from streaming import topic_serializers as changes


class TopicListView(APIView):
    """Topics of Kafka."""

    @extend_schema(
        operation_id="topics_list", responses=changes.results("Topics", shapes.TopicSerializer(many=True))
    )
    def get(self, request: Request) -> Response:
        """All but Kafka's own, by name, in one page."""
        found = gateway.connect().topics()
        return Response({"results": shapes.TopicSerializer(found, many=True).data, "next": None})

    @extend_schema(request=changes.NewTopicSerializer, responses={201: shapes.TopicSerializer})
    def post(self, request: Request) -> Response:
        """Create one; it is there when this is answered. 409 where a topic has the name."""
        wish = valid(changes.NewTopicSerializer, request.data)
        topic = topic_actions.create_topic(**wish, by=user_of(request))
        place = reverse("api:topic-detail", args=[topic.name])
        return Response(shapes.TopicSerializer(topic).data, status=201, headers={"Location": place})


class TopicDetailView(APIView):
    """A topic with its partitions and settings, and its end."""

    @extend_schema(responses=shapes.TopicSerializer)
    def get(self, request: Request, name: str) -> Response:
        """With its partitions."""
        found = gateway.connect().topic(reading.topic_name(name))
        return Response(shapes.TopicSerializer(found).data)

    @extend_schema(request=changes.TopicChangeSerializer, responses=changes.ChangedTopicSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Give it more partitions, set settings, or reset those that are null; the others stay."""
        wish = valid(changes.TopicChangeSerializer, request.data)
        topic, warnings = topic_actions.change_topic(reading.topic_name(name), **wish, by=user_of(request))
        return Response({**shapes.TopicSerializer(topic).data, "warnings": warnings})

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete it with its messages; 409 for the console's own, and while a stream or a job needs it."""
        topic_actions.delete_topic(reading.topic_name(name), by=user_of(request))
        return Response(status=204)


class TopicConfigView(APIView):
    """Settings of a topic."""

    @extend_schema(
        operation_id="topics_config_list",
        responses=changes.results("Settings", changes.SettingSerializer(many=True)),
    )
    def get(self, request: Request, name: str) -> Response:
        """Those that the topic itself says first, then by name, in one page."""
        gateway.connect().topic(reading.topic_name(name))
        found = topic_admin.connect().settings(name)
        return Response({"results": changes.SettingSerializer(found, many=True).data, "next": None})


class TopicPurgeView(APIView):
    """Messages of a topic, deleted."""

    @extend_schema(
        request=changes.PurgeSerializer,
        responses=changes.results("PurgedPartitions", changes.PurgedSerializer(many=True)),
    )
    def post(self, request: Request, name: str) -> Response:
        """Delete the messages before an offset of each partition, or all; the topic stays."""
        wish = valid(changes.PurgeSerializer, request.data)
        found = topic_actions.purge_topic(
            reading.topic_name(name), before=wish.get("offsets"), by=user_of(request)
        )
        return Response({"results": changes.PurgedSerializer(found, many=True).data, "next": None})


class MessageListView(APIView):
    """Messages of a topic."""

    @extend_schema(
        operation_id="topics_messages_list",
        parameters=[
            OpenApiParameter(
                "from", str, description="earliest, latest (default), a time, or partition:offset"
            ),
            OpenApiParameter("limit", int, description="1 to 200, by default 50"),
        ],
        responses=inline_serializer(
            "Messages",
            {
                "results": shapes.MessageSerializer(many=True),
                "next": serializers.URLField(allow_null=True),
                "problem": serializers.CharField(
                    help_text="Why messages may be missing, as behind an open transaction; else empty."
                ),
            },
        ),
    )
    def get(self, request: Request, name: str) -> Response:
        """Read without a consumer group, oldest first, for four seconds at most."""
        reading.check_may_read(user_of(request), name)
        given = request.query_params
        start = reading.start(given.get("from", "latest"))
        limit = reading.limit(given.get("limit", "50"))
        found = gateway.connect().messages(reading.topic_name(name), start=start, limit=limit)
        results = shapes.MessageSerializer([shapes.message(read) for read in found.read], many=True).data
        return Response({"results": results, "next": None, "problem": found.problem})

    @extend_schema(
        operation_id="topics_messages_create",
        request=changes.NewMessagesShape,
        responses=changes.ProducedSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """Send some, each confirmed by all replicas; one's fault is its own. 422 where none could be sent."""
        wish = valid(changes.NewMessagesSerializer, request.data)
        messages: list[Any] = [outgoing.read(one) for one in wish["messages"]]
        found = topic_actions.produce(reading.topic_name(name), messages, by=user_of(request))
        results = changes.OutcomeSerializer([one._asdict() for one in found], many=True).data
        return Response({"results": results, "n_sent": sum(not one.error for one in found)})
