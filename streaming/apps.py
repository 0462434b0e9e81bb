from django.apps import AppConfig


class StreamingConfig(AppConfig):
    name = "streaming"

    def ready(self) -> None:
        """Let the sweep send unfinished wishes again; name the topics that the default streams need."""
        from django.utils.translation import gettext_lazy as _

        from core.lib import outbox, retention, topics
        from streaming import dead_topics, models, queries, tasks

        kept = _("Windows of streams, dead letters, anomalies, replays that ended")
        retention.register(kept, "CONSOLE_STREAMS_KEEP_DAYS")
        outbox.register(models.Replay, tasks.send_replay)
        outbox.register(models.DeadLetter, tasks.redrive)
        topics.register(
            topics.Topic("taxi_trips"),
            dead_topics.topic("taxi_trips.dead"),
            topics.Topic("ride_events"),
        )
        topics.register_finder(queries.side_topics)
