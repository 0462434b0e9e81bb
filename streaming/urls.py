"""Pages and fragments."""

from django.urls import path

from streaming import topic_views, views

app_name = "streams"

STREAM = "streams/<str:name>"

urlpatterns = [
    path("streams", views.stream_list, name="stream-list"),
    path("streams/-/new", views.stream_create, name="stream-create"),
    path("streams/-/overview-line", views.overview_line, name="overview-line"),
    path(STREAM, views.stream_detail, name="stream-detail"),
    path(f"{STREAM}/state", views.stream_state, name="stream-state"),
    path(f"{STREAM}/windows", views.stream_windows, name="stream-windows"),
    path(f"{STREAM}/anomalies", views.anomaly_list, name="anomaly-list"),
    path(f"{STREAM}/dead-letters", views.dead_letter_list, name="dead-letter-list"),
    path(f"{STREAM}/dead-letters/<int:pk>/redrive", views.redrive, name="dead-letter-redrive"),
    path(f"{STREAM}/definition", views.stream_definition, name="stream-definition"),
    path(f"{STREAM}/delete", views.stream_delete, name="stream-delete"),
    path("topics", topic_views.topic_list, name="topic-list"),
    path("topics/-/groups", topic_views.group_list, name="group-list"),
    path("topics/<str:name>", topic_views.topic_detail, name="topic-detail"),
    path("topics/<str:name>/messages", topic_views.topic_messages, name="topic-messages"),
    path("replays", views.replay_list, name="replay-list"),
    path("replays/<int:pk>/stop", views.replay_stop, name="replay-stop"),
]
