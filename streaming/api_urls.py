"""REST paths, in the namespace `api`."""

from django.urls import path

from streaming import api

STREAM = "streams/<str:name>"

urlpatterns = [
    path("topics", api.TopicListView.as_view(), name="topic-list"),
    path("topics/<str:name>", api.TopicDetailView.as_view(), name="topic-detail"),
    path("topics/<str:name>/messages", api.MessageListView.as_view(), name="message-list"),
    path("consumer-groups", api.GroupListView.as_view(), name="group-list"),
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
