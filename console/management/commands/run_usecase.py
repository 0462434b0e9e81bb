"""`manage.py run_usecase NAME`: one use case from its data to answers, by REST, with its table of figures."""

import os
import sys
from datetime import timedelta
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.demo import people
from console.demo.errors import CannotBegin, StepFailed
from console.demo.rest import Caller
from console.journeys import JOURNEYS
from console.journeys.traveller import Figure, Traveller
from core.lib import demo

TOKENS_LIVE = timedelta(hours=6)


class Command(BaseCommand):
    help = "Run a use case from its data to answers, as its users would, and print what it reached."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(JOURNEYS))
        parser.add_argument("--small", action="store_true", help="on a sample, for a quick look")

    def handle(self, *_args: Any, name: str, small: bool, **_options: Any) -> None:
        try:
            with (
                people.with_tokens(f"run_usecase {name} {os.getpid()}", live=TOKENS_LIVE) as keys,
                httpx.Client() as http,
            ):
                traveller = self._traveller(keys, http, is_small=small)
                try:
                    JOURNEYS[name](traveller)
                finally:
                    self._print(traveller.figures)
        except CannotBegin as error:
            raise CommandError(str(error)) from error
        except StepFailed as error:
            raise CommandError(f"{name}: {error}") from error

    def _traveller(self, keys: dict[str, str], http: httpx.Client, *, is_small: bool) -> Traveller:
        engineer, scientist, approver = (
            Caller(name, settings.CONSOLE_PUBLIC_URL, http, key=keys[name])
            for name in (demo.ENGINEER, demo.SCIENTIST, demo.APPROVER)
        )
        return Traveller(engineer, scientist, approver, say=self._say, is_small=is_small)

    def _say(self, words: str) -> None:
        self.stderr.write(words)
        sys.stderr.flush()

    def _print(self, figures: list[Figure]) -> None:
        wide = max((len(figure.name) for figure in figures), default=0)
        for figure in figures:
            note = f"  {figure.note}" if figure.note else ""
            self.stdout.write(f"{figure.name:<{wide}}  {figure.value}{note}")
