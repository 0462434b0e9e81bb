from collections.abc import Collection

from django.apps import AppConfig


def _dag_runs(dag_run_ids: Collection[str]) -> set[str]:
    from usecases import queries

    return queries.dag_runs_of_ledgers(dag_run_ids)


class UsecasesConfig(AppConfig):
    name = "usecases"

    def ready(self) -> None:
        """Let the sweep send load tests again, and find those whose worker is gone; keep ledgers' runs."""
        from core.lib import outbox, retention
        from usecases import models, tasks

        retention.register_links("pipelines.run", _dag_runs)

        outbox.register(models.LoadTest, tasks.run_load_test)
