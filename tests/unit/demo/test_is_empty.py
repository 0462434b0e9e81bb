"""When `make up` begins a demonstration by itself."""

import pytest

from console.demo import queries
from console.demo.models import Demonstration, DemoState
from core.access import principals
from pipelines.models import Run
from tests.people import make_admin, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _first_admin(settings, tmp_path):
    settings.CONSOLE_PIPELINE_TOKENS = tmp_path / "tokens.json"
    settings.CONSOLE_ALERTMANAGER_TOKEN = tmp_path / "token"
    make_admin("admin")
    principals.issue_tokens()


def test_an_installation_with_its_first_admin_and_pipelines_accounts_is_empty():
    assert queries.is_empty()


def test_a_second_user_makes_it_one_in_use():
    make_user("ana", "viewer")
    assert not queries.is_empty()


def test_a_run_makes_it_one_in_use():
    Run.objects.create(dag_id="titanic_training", dag_run_id="manual__1")
    assert not queries.is_empty()


@pytest.mark.parametrize("state", [DemoState.RUNNING, DemoState.DONE, DemoState.REMOVED])
def test_a_demonstration_begins_once(state):
    Demonstration.objects.create(state=state)
    assert not queries.is_empty()
