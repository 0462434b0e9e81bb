from django.apps import AppConfig


class UsecasesConfig(AppConfig):
    name = "usecases"

    def ready(self) -> None:
        """Let the sweep send load tests again, and find those whose worker is gone."""
        from core.lib import outbox
        from usecases import models, tasks

        outbox.register(models.LoadTest, tasks.run_load_test)
