"""`manage.py run_demo`: train, gate, approve, predict, stream, Spark, drift, by REST, each checked."""

import signal
import sys
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from console.demo import taking
from console.demo.errors import CannotBegin, StepFailed
from console.demo.walk import Walk

AGAIN = "`manage.py run_demo` again goes on from there."


class Command(BaseCommand):
    help = (
        "Go through the console by its REST API as demonstration users, and check each step. "
        "Run again, it goes on where it ended; `remove_demo` takes everything away."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        signal.signal(signal.SIGTERM, _end_as_after_ctrl_c)
        try:
            Walk(taking.take(), self._say).go()
        except CannotBegin as error:
            raise CommandError(str(error)) from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"PostgreSQL does not answer: {error}. {AGAIN}") from error
        except StepFailed as error:
            raise CommandError(f"{error}. {AGAIN}") from error
        self._say("The demonstration is done: every step came out as it should.")

    def _say(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()


def _end_as_after_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    sys.exit(f"Stopped. {AGAIN}")
