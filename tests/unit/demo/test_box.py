"""The demonstration's box on the overview: there while it says something, closed by an administrator."""

from datetime import timedelta

import pytest
from django.utils import timezone

from console.demo import taking
from console.demo.models import Demonstration, DemoState, StepState
from tests.people import make_admin, make_user, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer():
    return signed_in(make_user("vic", "viewer"))


def ended(state: DemoState, **values):
    found = taking.take()
    Demonstration.objects.filter(pk=found.pk).update(state=state, holder=None, **values)
    return found


def test_overview_says_nothing_before_a_demonstration(viewer):
    assert b"demo-box-title" not in viewer.get("/").content


def test_overview_shows_each_step_and_how_far_it_is(viewer):
    demonstration = taking.take()
    demonstration.steps.filter(name="train").update(state=StepState.DONE, summary="run 7 <of> it")
    demonstration.steps.filter(name="gate").update(state=StepState.RUNNING)
    page = viewer.get("/").content.decode()
    assert f"step 2 of {demonstration.steps.count()}" in page
    assert "run 7 &lt;of&gt; it" in page
    assert 'data-state="running"' in page


def test_a_failed_step_is_named_with_the_way_on(viewer):
    ended(DemoState.FAILED, error="step 2, gate: expected a; came b")
    page = viewer.get("/demo/box").content.decode()
    assert "step 2, gate: expected a; came b" in page
    assert "make demo" in page
    assert "make remove-demo" in page


def test_one_whose_process_is_gone_is_stopped(viewer):
    taking.take()
    Demonstration.objects.update(alive_at=timezone.now() - timedelta(minutes=2))
    page = viewer.get("/demo/box").content.decode()
    assert 'data-state="stopped"' in page
    assert 'data-state="running"' not in page


@pytest.mark.parametrize("state", [DemoState.DONE, DemoState.FAILED, DemoState.STOPPED])
def test_an_administrator_closes_it_for_everybody(viewer, state):
    ended(state)
    assert b"Close this box" not in viewer.get("/demo/box").content
    assert viewer.post("/demo/dismiss").status_code == 403
    admin = signed_in(make_admin())
    assert b"Close this box" in admin.get("/demo/box").content
    assert b"demo-box-title" not in admin.post("/demo/dismiss", headers={"HX-Request": "true"}).content
    assert b"demo-box-title" not in viewer.get("/").content


def test_it_stays_open_while_the_demonstration_is_at_work():
    taking.take()
    assert signed_in(make_admin()).post("/demo/dismiss").status_code == 409


def test_one_that_was_removed_shows_nothing(viewer):
    ended(DemoState.REMOVED)
    assert b"demo-box-title" not in viewer.get("/").content
