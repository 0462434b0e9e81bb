"""The predict path: a small ASGI application, mounted in the web process and run alone for heavy clients.

token -> decode and check -> derived fields -> score -> record -> answer. Nothing here uses Django's request
machinery or database while a caller waits; a background thread refreshes what is needed of both.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictions.serving.application import PredictApp


def predict_app() -> "PredictApp":
    """The application that the web process mounts before Django."""
    from predictions.serving.application import PredictApp

    return PredictApp()


def __getattr__(name: str) -> Any:
    """`predictions.serving:app` is made when uvicorn asks for it: making it sets Django up."""
    if name != "app":
        raise AttributeError(name)
    from predictions.serving.standalone import app

    return app
