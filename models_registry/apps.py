from collections.abc import Collection

from django.apps import AppConfig


def _dag_runs(dag_run_ids: Collection[str]) -> set[str]:
    from models_registry import queries

    return queries.dag_runs_of_versions(dag_run_ids)


class ModelsRegistryConfig(AppConfig):
    name = "models_registry"

    def ready(self) -> None:
        """Let the sweep send unfinished gates and aliases again; keep the runs that versions came from."""
        from core.lib import outbox, retention
        from models_registry import models, tasks

        retention.register_links("pipelines.run", _dag_runs)

        outbox.register(models.GateRun, tasks.run_gate)
        outbox.register(models.ChampionPeriod, tasks.deliver_alias)
