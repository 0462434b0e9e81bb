"""Generated calls over the whole OpenAPI schema: no fault, and every answer as the schema says.

Seeded and few; `CONSOLE_API_EXAMPLES=200` looks longer.
"""

import os

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from console import openapi
from tests import populated

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

EXAMPLES = int(os.environ.get("CONSOLE_API_EXAMPLES", "4"))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
PATHS = openapi.document()["paths"]
WORDS = sorted(set(map(openapi.word_of, PATHS)))


@pytest.fixture
def world(db, monkeypatch, settings, tmp_path):
    return populated.rows(populated.fakes(monkeypatch, settings, tmp_path))


@pytest.fixture(autouse=True)
def _one_connection():
    """A request closes none: the rows are in a transaction of this test's own."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def schema():
    found = schemathesis.openapi.from_dict(openapi.document())
    found.app = get_wsgi_application()
    found.config.update(base_url="http://testserver")
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("word", WORDS)
def test_calls_made_from_the_schema(world, schema, word):
    for path, item in PATHS.items():
        if openapi.word_of(path) == word:
            for method in set(item) & set(openapi.METHODS):
                for mode in modes_of(item[method]):
                    try_out(schema[path][method.upper()], mode, world)


def modes_of(operation):
    """A call that carries nothing, not even a token, cannot be made a wrong one."""
    carries = operation.keys() & {"parameters", "requestBody", "security"}
    return list(GenerationMode) if carries else [GenerationMode.POSITIVE]


def try_out(operation, mode, world):
    """Raises at the first answer that is none of the schema's."""

    @seed(7)
    @SETTINGS
    @given(operation.as_strategy(generation_mode=mode))
    def call(case):
        (case.headers or {}).pop("Idempotency-Key", None)  # Redis keeps them, which is none of this
        for parameters in led(operation.path, case.path_parameters, world):
            case.path_parameters = parameters
            with transaction.atomic():
                response = case.call(headers=headers_of(world))
                transaction.set_rollback(True)
            case.validate_response(response, checks=CHECKS)

    call()


def headers_of(world):
    return {"Authorization": f"Bearer {world.key}", "Accept-Encoding": "identity"}


def led(path, parameters, world):
    """The parameters of the path as generated, and those that lead to what there is."""
    if not parameters:
        return [parameters]
    words = path.removeprefix("/api/v1/").split("/")
    word = words[words.index("{id}") - 1][:-1].partition("-")[0] if "{id}" in words else ""
    there_is = {**world.arguments, "id": world.pks.get(word, 1)}
    there_is["run_id"] = world.run.pk if words[0] == "runs" else world.mlflow_run
    return [parameters, {name: str(there_is[name]) for name in parameters}]
