"""REST paths, in the namespace `api`."""

from django.urls import path, register_converter

from streaming import api, converters, group_api, topic_api

register_converter(converters.GroupConverter, "group")

STREAM = "streams/<str:name>"
TOPIC = "topics/<str:name>"

urlpatterns = [
    path("topics", topic_api.TopicListView.as_view(), name="topic-list"),
    path(TOPIC, topic_api.TopicDetailView.as_view(), name="topic-detail"),
    path(f"{TOPIC}/config", topic_api.TopicConfigView.as_view(), name="topic-config"),
    path(f"{TOPIC}/purge", topic_api.TopicPurgeView.as_view(), name="topic-purge"),
    path(f"{TOPIC}/messages", topic_api.MessageListView.as_view(), name="message-list"),
    path("consumer-groups", group_api.GroupListView.as_view(), name="group-list"),
    path("consumer-groups/<group:group>/offsets", group_api.GroupOffsetsView.as_view(), name="group-offsets"),
    path("consumer-groups/<group:group>", group_api.GroupDetailView.as_view(), name="group-detail"),
    path("streams", api.StreamListView.as_view(), name="stream-list"),
    path(STREAM, api.StreamDetailView.as_view(), name="stream-detail"),
    path(f"{STREAM}/windows", api.WindowListView.as_view(), name="window-list"),
    path(f"{STREAM}/anomalies", api.AnomalyListView.as_view(), name="anomaly-list"),
    path(f"{STREAM}/dead-letters", api.DeadLetterListView.as_view(), name="dead-letter-list"),
    path(f"{STREAM}/dead-letters/<int:pk>/redrive", api.RedriveView.as_view(), name="dead-letter-redrive"),
    path("replays", api.ReplayListView.as_view(), name="replay-list"),
    path("replays/<int:pk>", api.ReplayDetailView.as_view(), name="replay-detail"),
    path("replays/<int:pk>/stop", api.ReplayStopView.as_view(), name="replay-stop"),
]
