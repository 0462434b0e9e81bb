"""`manage.py load_test MODEL`: what the page of load tests does, from a terminal, as an administrator."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.access.models import User
from core.access.policy import ADMIN
from core.lib.errors import ConsoleError
from usecases import actions, catalogue, load_running
from usecases.models import ACTIVE, LoadTest, LoadTestState

LOOKS_EVERY_S = 1.0
WAITS_S = 120.0  # for a worker that is free


class Command(BaseCommand):
    help = "Let simulated users ask a model of a use case, and print how many it answers in time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model")
        parser.add_argument("--users", type=int, default=50)
        parser.add_argument("--rate", type=int, default=10, help="users who join in a second")
        parser.add_argument("--seconds", type=int, default=60)
        parser.add_argument(
            "--p95", type=int, default=250, help="ms within which 95 of 100 answers are to come"
        )
        parser.add_argument("--by", default="", help="who asks; else the first administrator")

    def handle(self, *_args: Any, **options: Any) -> None:
        usecase = next((one for one in catalogue.USECASES if one.model == options["model"]), None)
        if usecase is None:
            raise CommandError(f"No use case has a model {options['model']}.")
        try:
            test = actions.request_load_test(
                usecase,
                users=options["users"],
                spawn_rate=options["rate"],
                seconds=options["seconds"],
                stated_p95_ms=options["p95"],
                by=self._who(options["by"]),
            )
        except ConsoleError as error:
            raise CommandError(
                "; ".join(f"{one['field']}: {one['message']}" for one in error.errors or []) or error.message
            ) from error
        self._tell(self._ended(test))

    def _who(self, name: str) -> User:
        users = User.objects.filter(is_active=True, is_system=False)
        found = users.filter(username=name) if name else users.filter(groups__name=ADMIN).order_by("pk")
        if (user := found.first()) is None:
            raise CommandError(f"There is no user {name}." if name else "There is no administrator.")
        return user

    def _ended(self, test: LoadTest) -> LoadTest:
        give_up_at = time.monotonic() + test.seconds + WAITS_S + load_running.STARTS_WITHIN_S
        while test.state in ACTIVE:
            if time.monotonic() > give_up_at:
                raise CommandError("It is not over yet; the page of load tests shows how it goes on.")
            time.sleep(LOOKS_EVERY_S)
            test.refresh_from_db()
        if test.state == LoadTestState.FAILED:
            raise CommandError(test.error)
        return test

    def _tell(self, test: LoadTest) -> None:
        self.stdout.write(
            f"{'users':>6} {'requests':>9} {'failed':>7} {'a second':>9} {'p50':>8} {'p95':>8} {'p99':>8}"
        )
        for step in test.steps:
            times = " ".join(
                f"{step[name] if step[name] is not None else '–':>8}" for name in ("p50", "p95", "p99")
            )
            self.stdout.write(
                f"{step['users']:>6} {step['requests']:>9} {step['failures']:>7} {step['rps']:>9} {times}"
            )
        within = f"{test.max_users_within_p95} users within {test.stated_p95_ms} ms (p95)"
        self.stdout.write(f"{test.model} v{test.version}: at most {within}.")
