from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        """Let the sweep send jobs again that a worker still has to start or end; name what they may need."""
        from core.lib import outbox
        from jobs import models, supplies, tasks

        outbox.register(models.Job, tasks.attend)
        supplies.register("mlflow", supplies.MLFLOW)
        supplies.register("kafka", supplies.KAFKA)
