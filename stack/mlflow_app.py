"""MLflow's own application behind one password, for uvicorn: what `mlflow server` starts, in one process.

MLflow's sign-in app (`--app-name basic-auth`) hashes the password at each call, which takes 0.4 s of a
processor, and leaves some routes open. Here one comparison stands before all but the sign of life. The
process of `mlflow server` would load all of MLflow only to start this one, in twice the time and memory.
"""

import base64
import hmac
import os
import uuid

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH = "/health"
REFUSAL = "MLflow asks for a name and a password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
CHALLENGE = {"WWW-Authenticate": 'Basic realm="MLflow"'}  # a browser asks its user
ARTIFACT_ROOT = "mlflow-artifacts:/"


def make() -> ASGIApp:
    """The application, from the variables that `mlflow server` reads too. Loads MLflow: seconds, 200 MiB."""
    store = os.environ["MLFLOW_BACKEND_STORE_URI"]
    _be_a_server(store, artifacts=os.environ["MLFLOW_ARTIFACTS_DESTINATION"])
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, ARTIFACT_ROOT)
    known = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    return Guard(app, username=known[0], password=known[1])


def _be_a_server(store: str, *, artifacts: str) -> None:
    """Set what `mlflow server --serve-artifacts` sets for its workers."""
    from mlflow import environment_variables as variables
    from mlflow.server import constants

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: store,
        constants.REGISTRY_STORE_URI_ENV_VAR: store,
        constants.ARTIFACT_ROOT_ENV_VAR: ARTIFACT_ROOT,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        variables._MLFLOW_SGI_NAME.name: "uvicorn",
        # A process with a boot id never runs code that came with a scorer.
        variables._MLFLOW_SERVER_BOOT_ID.name: uuid.uuid4().hex,
        variables._MLFLOW_IN_JOB_EXECUTOR.name: "false",
    }


class Guard:
    """Hands on the calls of those who know the password, told by HTTP's Basic as MLflow's client does."""

    def __init__(self, app: ASGIApp, *, username: str, password: str) -> None:
        self._app = app
        self._wanted = b"Basic " + base64.b64encode(f"{username}:{password}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] == HEALTH or self._knows(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse(REFUSAL, 401, headers=CHALLENGE)(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    def _knows(self, scope: Scope) -> bool:
        told = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(told) == 1 and hmac.compare_digest(told[0], self._wanted)
