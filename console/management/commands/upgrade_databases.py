"""Migrate both databases. One that is newer than the code is refused; two at once wait for one another."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console import upgrade
from core.lib.errors import ConsoleError


class Command(BaseCommand):
    help = "Migrate the databases of the console and of the use cases, if they are not newer than the code."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            upgrade.run(stdout=self.stdout)
        except ConsoleError as error:
            raise CommandError(error.message) from error
