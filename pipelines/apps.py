from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "pipelines"

    def ready(self) -> None:
        """What the sweep sends again, and what is kept for some days."""
        from django.utils.translation import gettext_lazy as _

        from core.lib import outbox, retention
        from pipelines import backfill_tasks, tasks
        from pipelines.models import Backfill, InputRequest, Pipeline, Run, RunNote, TaskLog

        outbox.register(Run, tasks.deliver_run)
        outbox.register(RunNote, tasks.deliver_note)
        outbox.register(Backfill, backfill_tasks.deliver_backfill)
        outbox.register(InputRequest, tasks.deliver_answer)
        outbox.register(Pipeline, tasks.deliver_pause)
        outbox.register(TaskLog, tasks.copy_log)
        retention.register(_("Events of assets"), "CONSOLE_ASSET_EVENTS_KEEP_DAYS")
        retention.register(_("Runs of pipelines that ended"), "CONSOLE_RUNS_KEEP_DAYS")
