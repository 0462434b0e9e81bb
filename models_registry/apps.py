from django.apps import AppConfig


class ModelsRegistryConfig(AppConfig):
    name = "models_registry"

    def ready(self) -> None:
        """Let the sweep send unfinished gates and aliases again."""
        from core.lib import outbox
        from models_registry import models, tasks

        outbox.register(models.GateRun, tasks.run_gate)
        outbox.register(models.ChampionPeriod, tasks.deliver_alias)
