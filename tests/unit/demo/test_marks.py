"""Pages mark what the demonstration made, and nothing else."""

import pytest

from core.audit import actions as audit
from pipelines.models import Run
from streaming.models import Replay
from tests.people import make_admin, make_token, make_user, signed_in
from tests.registry import make_champion, make_request

pytestmark = pytest.mark.django_db
MARK = "demo-mark"


@pytest.fixture
def admin():
    return signed_in(make_admin())


def rows(by, *, is_demo):
    Run.objects.create(
        dag_id="titanic_training", dag_run_id=f"console__{by.pk}", state="success", wish="", is_demo=is_demo
    )
    period = make_champion(1, by, is_demo=is_demo)
    make_request(period.version, by)
    Replay.objects.create(source="a", topic="b", rate=1, is_demo=is_demo)
    make_token(by)
    audit.record("drift.rules", "run 1", by=by)
    return by


PATHS = ["/runs", "/models", "/models/titanic", "/promotions", "/replays", "/system/audit", "/system/users"]


@pytest.mark.parametrize("path", PATHS)
def test_rows_of_the_demonstration_are_marked(admin, path):
    rows(make_user("demo-approver", "approver", is_demo=True), is_demo=True)
    assert MARK in admin.get(path).content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_rows_of_others_are_not_marked(admin, path):
    rows(make_user("ana", "approver"), is_demo=False)
    assert MARK not in admin.get(path).content.decode()


def test_the_audit_trail_marks_by_name_when_the_user_is_gone(admin):
    user = make_user("demo-engineer", "engineer", is_demo=True)
    audit.record("drift.rules", "run 1", by=user)
    user.delete()
    assert MARK in admin.get("/system/audit").content.decode()
