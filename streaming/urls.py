"""Pages and fragments."""

from django.urls import path

from streaming import group_views, topic_change_views, topic_views, views

app_name = "streams"

STREAM = "streams/<str:name>"
TOPIC = "topics/<str:name>"

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
    path("topics/-/new", topic_change_views.topic_create, name="topic-create"),
    path("topics/-/groups", group_views.group_list, name="group-list"),
    path(TOPIC, topic_views.topic_detail, name="topic-detail"),
    path(f"{TOPIC}/messages", topic_views.topic_messages, name="topic-messages"),
    path(f"{TOPIC}/config", topic_change_views.topic_config, name="topic-config"),
    path(f"{TOPIC}/settings", topic_views.topic_settings, name="topic-settings"),
    path(f"{TOPIC}/partitions", topic_change_views.topic_partitions, name="topic-partitions"),
    path(f"{TOPIC}/produce", topic_change_views.topic_produce, name="topic-produce"),
    path(f"{TOPIC}/purge", topic_change_views.topic_purge, name="topic-purge"),
    path(f"{TOPIC}/delete", topic_change_views.topic_delete, name="topic-delete"),
    # A group may have any name, so it is no part of a path here: browsers resolve "." and "..".
    path("consumer-groups", group_views.group_detail, name="group-detail"),
    path("consumer-groups/offsets", group_views.group_offsets, name="group-offsets"),
    path("consumer-groups/delete", group_views.group_delete, name="group-delete"),
    path("replays", views.replay_list, name="replay-list"),
    path("replays/<int:pk>/stop", views.replay_stop, name="replay-stop"),
]
