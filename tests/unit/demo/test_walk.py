"""Walking: each step once, noted as it goes; what is done is looked at, what went wrong begins anew."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from console.demo import steps, taking
from console.demo.errors import CannotBegin, NoAnswer, NotAsExpected, StepFailed
from console.demo.models import TITLES, Demonstration, DemoState, StepState
from console.demo.steps import Act
from console.demo.walk import Walk
from core.access.models import ApiToken

pytestmark = pytest.mark.django_db


class Play:
    """Two acts that note how they are played; `fails` is what the second raises."""

    def __init__(self):
        self.played = []
        self.fails = None
        self.is_there = True

    def first(self, scene):
        self.played.append(("first", scene.step.attempt))
        scene.step.keep(n=1)
        return "one"

    def second(self, scene):
        self.played.append(("second", scene.step.attempt, dict(scene.facts)))
        assert scene.of("first") == {"n": 1}
        scene.step.keep(begun=True)
        if self.fails:
            raise self.fails
        return "two"


@pytest.fixture
def play(monkeypatch):
    play = Play()
    acts = (
        Act("first", play.first, lambda _scene: play.is_there),
        Act("second", play.second, lambda _scene: True),
    )
    monkeypatch.setattr(steps, "ACTS", acts)
    return play


def walk():
    said = []
    demonstration = taking.take()
    Walk(demonstration, said.append).go()
    return said


def states():
    found = Demonstration.objects.get()
    return found.state, [step.state for step in found.steps.all()]


def test_each_step_says_its_place_and_what_came_of_it(play):
    assert walk() == [
        "1 of 2  first    …",
        "1 of 2  first    one (0 s)",
        "2 of 2  second   …",
        "2 of 2  second   two (0 s)",
    ]
    assert states() == (DemoState.DONE, [StepState.DONE, StepState.DONE])
    assert not any(token.is_live for token in ApiToken.objects.all())


def test_a_second_walk_plays_nothing_again(play):
    walk()
    played = list(play.played)
    assert walk() == ["1 of 2  first    is there already: one", "2 of 2  second   is there already: two"]
    assert play.played == played


def test_a_done_step_whose_outcome_is_gone_is_played_again(play):
    walk()
    play.is_there = False
    walk()
    assert play.played[-1] == ("first", 2)


def test_a_wrong_outcome_ends_the_walk_and_is_begun_anew(play):
    play.fails = NotAsExpected("a", "b")
    with pytest.raises(StepFailed, match="step 2, second: expected a; came b"):
        walk()
    assert states() == (DemoState.FAILED, [StepState.DONE, StepState.FAILED])
    assert "step 2, second" in Demonstration.objects.get().error
    play.fails = None
    walk()
    assert play.played[-1] == ("second", 2, {})


def test_what_got_no_answer_goes_on_with_what_it_began(play):
    play.fails = NoAnswer("too late")
    with pytest.raises(StepFailed):
        walk()
    play.fails = None
    walk()
    assert play.played[-1] == ("second", 1, {"begun": True})


def test_what_was_interrupted_is_stopped_and_goes_on(play):
    play.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        walk()
    assert states()[0] == DemoState.STOPPED
    play.fails = None
    walk()
    assert play.played[-1] == ("second", 1, {"begun": True})


def test_one_process_walks_at_a_time(play, monkeypatch):
    running = taking.take()
    later = iter(range(1, 100))

    def heard(_seconds):
        alive_at = timezone.now() + timedelta(seconds=next(later))
        Demonstration.objects.filter(pk=running.pk).update(alive_at=alive_at)

    monkeypatch.setattr(taking.time, "sleep", heard)
    with pytest.raises(CannotBegin, match="is running already"):
        taking.take()


def test_a_silent_process_loses_the_demonstration(play):
    first = taking.take()
    Demonstration.objects.update(alive_at=timezone.now() - timedelta(minutes=1))
    second = taking.take()
    assert (second.pk, second.holder != first.holder) == (first.pk, True)
    Walk(first, print)._end(DemoState.DONE)
    assert Demonstration.objects.get().state == DemoState.RUNNING


def test_the_command_fails_with_the_step_and_how_to_go_on(play):
    play.fails = NotAsExpected("a champion", "none")
    with pytest.raises(CommandError, match=r"step 2, second: .*; came none\..*again goes on"):
        call_command("run_demo")


def test_every_step_has_words():
    assert [act.name for act in steps.ACTS] == list(TITLES)
