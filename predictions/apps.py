from django.apps import AppConfig
from django.conf import settings


class PredictionsConfig(AppConfig):
    name = "predictions"

    def ready(self) -> None:
        from console.lib import topics

        name = settings.CONSOLE_PREDICTIONS_TOPIC
        topics.register(topics.Topic(name, 4), topics.Topic(f"{name}.dead", days=30))
