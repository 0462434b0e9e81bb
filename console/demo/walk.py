"""Goes through the steps, keeps and says what each found; ends at the first that is not as it should be."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from console.demo import people, steps
from console.demo.errors import CannotBegin, NoAnswer, StepFailed
from console.demo.models import TOPIC, Demonstration, DemoState, Step, StepState
from console.demo.rest import Caller
from console.demo.scene import Scene
from console.demo.store import patiently
from core.lib import demo, live

ALIVE_EVERY_S = 5.0

Say = Callable[[str], None]


class Walk:
    """One process on its way through one demonstration, which it has taken."""

    def __init__(self, demonstration: Demonstration, say: Say) -> None:
        self._demonstration = demonstration
        self._say = say
        self._said_alive_at = time.monotonic()

    def go(self) -> None:
        """Raises StepFailed, with the step's name, at the first that is not as it should be."""
        with self._noted(), people.with_tokens() as keys, httpx.Client() as http:
            for number, act in enumerate(steps.ACTS, 1):
                self._take(act, self._scene(number, act, keys, http))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """However it ends, the row says so."""
        try:
            yield
        except StepFailed as error:
            self._end(DemoState.FAILED, str(error))
            raise
        except BaseException:  # Ctrl-C and `make down` too; whatever it is goes on its way
            self._end(DemoState.STOPPED)
            raise
        self._end(DemoState.DONE)

    def _take(self, act: steps.Act, scene: Scene) -> None:
        step = scene.step
        if step.state == StepState.DONE:
            if act.is_there(scene):
                scene.say(f"is there already: {step.summary}")
                return
            step.is_spent = True
        self._begin(step)
        scene.say("…")
        began_at = time.monotonic()
        try:
            summary = act.play(scene)
        except StepFailed as error:
            step.is_spent = not isinstance(error, NoAnswer)
            self._note(step, StepState.FAILED, str(error), time.monotonic() - began_at)
            raise StepFailed(f"step {step.number}, {act.name}: {error}") from error
        self._note(step, StepState.DONE, summary, time.monotonic() - began_at)
        scene.say(f"{summary} ({step.seconds:.0f} s)")

    def _begin(self, step: Step) -> None:
        if step.is_spent:
            step.facts, step.attempt, step.is_spent = {}, step.attempt + 1, False
        self._note(step, StepState.RUNNING, "", None)

    @staticmethod
    def _note(step: Step, state: StepState, summary: str, seconds: float | None) -> None:
        step.state, step.summary, step.seconds = state, summary, seconds
        patiently(step.save)
        live.publish(TOPIC)

    def _scene(self, number: int, act: steps.Act, keys: dict[str, str], http: httpx.Client) -> Scene:
        rows = patiently(lambda: {step.name: step for step in self._demonstration.steps.all()})
        engineer, scientist, approver = (
            Caller(name, settings.CONSOLE_PUBLIC_URL, http, key=keys[name], meanwhile=self._stay_alive)
            for name in (demo.ENGINEER, demo.SCIENTIST, demo.APPROVER)
        )
        return Scene(
            engineer=engineer,
            scientist=scientist,
            approver=approver,
            serving_url=settings.CONSOLE_SERVING_URL,
            steps=rows,
            step=rows[act.name],
            meanwhile=self._stay_alive,
            say=lambda words: self._say(f"{number} of {len(steps.ACTS)}  {act.name:<8} {words}"),
        )

    def _stay_alive(self) -> None:
        """Say every few seconds that this process is at work; a database that is away hears of it later."""
        if time.monotonic() - self._said_alive_at < ALIVE_EVERY_S:
            return
        self._said_alive_at = time.monotonic()
        try:
            is_mine = self._mine().update(alive_at=timezone.now())
        except (OperationalError, InterfaceError):
            connection.close()
            return
        if not is_mine:
            raise CannotBegin("Another process has taken the demonstration over, or it was removed.")

    def _end(self, state: DemoState, error: str = "") -> None:
        values = {"state": state, "error": error, "ended_at": timezone.now(), "holder": None}
        patiently(lambda: self._mine().update(**values))
        live.publish(TOPIC)

    def _mine(self):  # type: ignore[no-untyped-def]
        return Demonstration.objects.filter(pk=self._demonstration.pk, holder=self._demonstration.holder)
