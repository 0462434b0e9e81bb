from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"

    def ready(self) -> None:
        """Name the topics, so that they are created with those of other apps, and what Spark jobs get."""
        from django.utils import translation
        from django.utils.translation import gettext_lazy as _

        from core.lib import outbox, retention
        from core.lib import topics as all_topics
        from jobs import supplies
        from predictions import job_supplies, topics
        from predictions.batch_models import PredictionBatch
        from predictions.batches import tasks
        from scoring import words

        words.translate_by(translation)
        kept = _("Predictions, and the ids of those that were erased or not answered")
        retention.register(kept, "CONSOLE_PREDICTIONS_KEEP_DAYS")
        retention.register(_("Windows judged for drift"), "CONSOLE_DRIFT_KEEP_DAYS")
        retention.register(_("Files of rows that were predicted, and results"), "CONSOLE_BATCHES_KEEP_DAYS")
        outbox.register(PredictionBatch, tasks.run_batch)
        all_topics.register(*topics.wanted())
        supplies.register("model", job_supplies.MODEL)
        supplies.register("predictions", job_supplies.PREDICTIONS)
