"""The account with which MLflow lets the console in: sent if there is one, named if it will not do."""

import httpx
import pytest

from core.lib.errors import Unauthorized
from models_registry import gateway


@pytest.fixture
def asked(monkeypatch):
    """The requests that MLflow gets; it answers 401 to a wrong password."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        is_wrong = request.headers.get("Authorization") == httpx.BasicAuth("atalaya", "wrong")._auth_header
        return httpx.Response(401, text="Who?") if is_wrong else httpx.Response(200, json={"experiments": []})

    monkeypatch.setattr("httpx._client.HTTPTransport", lambda **_options: httpx.MockTransport(answer))
    gateway._client.cache_clear()
    yield requests
    gateway._client.cache_clear()


def test_the_account_of_the_settings_is_sent(settings, asked):
    settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD = "atalaya", "open:sesame"
    assert gateway.connect().experiments() == []
    (request,) = asked
    assert request.headers["Authorization"] == httpx.BasicAuth("atalaya", "open:sesame")._auth_header


def test_an_mlflow_that_asks_for_no_password_is_sent_none(settings, asked):
    settings.CONSOLE_MLFLOW_USERNAME = settings.CONSOLE_MLFLOW_PASSWORD = ""
    assert gateway.connect().experiments() == []
    assert "Authorization" not in asked[0].headers


def test_a_wrong_password_is_said_with_the_names_of_its_settings(settings, asked):
    settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD = "atalaya", "wrong"
    with pytest.raises(Unauthorized, match="CONSOLE_MLFLOW_USERNAME and CONSOLE_MLFLOW_PASSWORD"):
        gateway.connect().experiments()
