"""Create the topics that the console needs; those that exist stay as they are."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.lib import topics
from core.lib.errors import ConsoleError


class Command(BaseCommand):
    help = "Create the Kafka topics that the console needs, where they are missing."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            made = topics.ensure()
        except ConsoleError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"created {', '.join(made)}" if made else "all topics are there")
