from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Let the sweep send jobs again that a worker still has to start or end; name what they may need."""
        from django.utils.translation import gettext_lazy as _

        from core.lib import outbox, retention, topics
        from jobs import models, queries, supplies, tasks

        outbox.register(models.Job, tasks.attend)
        retention.register(_("Logs and working folders of jobs that ended"), "CONSOLE_JOBS_KEEP_DAYS")
        topics.register_finder(queries.side_topics)
        topics.register_user(queries.use_of_topic)
        supplies.register("mlflow", supplies.MLFLOW)
        supplies.register("kafka", supplies.KAFKA)
