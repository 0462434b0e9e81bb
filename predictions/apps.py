from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"

    def ready(self) -> None:
        """Name the topics, so that they are created with those of other apps."""
        from core.lib import topics as all_topics
        from predictions import topics

        all_topics.register(*topics.wanted())
