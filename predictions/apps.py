from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"

    def ready(self) -> None:
        """Name the topics, so that they are created with those of other apps, and what Spark jobs get."""
        from core.lib import topics as all_topics
        from jobs import supplies
        from predictions import job_supplies, topics

        all_topics.register(*topics.wanted())
        supplies.register("model", job_supplies.MODEL)
        supplies.register("predictions", job_supplies.PREDICTIONS)
