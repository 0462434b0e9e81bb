"""What every REST view does: it answers whoever asks in whatever format."""

import pytest
from django.test import Client

from tests.people import make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "accept", ["text/csv", "text/plain", "application/problem+json", "application/xml", "x"]
)
def test_a_format_that_is_not_ours_is_no_reason_to_refuse(accept: str):
    client = Client(headers={"accept": accept})
    client.force_login(make_user("ada", "viewer"))
    answer = client.get("/api/v1/me")
    assert (answer.status_code, answer["content-type"]) == (200, "application/json")
    assert answer.json()["username"] == "ada"
    missing = client.get("/api/v1/runs/4711")
    assert (missing.status_code, missing["content-type"]) == (404, "application/problem+json")
