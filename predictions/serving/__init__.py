"""The predict path: a small ASGI application, mounted in the web process and run alone for heavy clients.

token -> decode and check -> derived fields -> score -> record -> answer. Nothing here uses Django's request
machinery or database while a caller waits; a background thread refreshes what is needed of both.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictions.serving.application import PredictApp
    from predictions.serving.inference import InferenceApp


def predict_app() -> "PredictApp":
    """The application that the web process mounts before Django."""
    from predictions.serving.application import PredictApp

    return PredictApp()


def inference_app(beside: "PredictApp") -> "InferenceApp":
    """The same for /v2, the Open Inference Protocol."""
    from predictions.serving.inference import InferenceApp

    return InferenceApp(beside)


def __getattr__(name: str) -> Any:
    """`predictions.serving:app` is made when uvicorn asks for it: making it sets Django up."""
    if name != "app":
        raise AttributeError(name)
    from predictions.serving.standalone import app

    return app
