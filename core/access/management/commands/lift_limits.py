"""`manage.py lift_limits (--name NAME | --address ADDRESS)`: they may try to sign in again at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.access import actions
from core.lib.errors import ConsoleError


class Command(BaseCommand):
    help = "Lift the limit on a name or an address after too many wrong passwords."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--name", default="", help="the name as it is typed at sign-in")
        which.add_argument("--address", default="", help="the address as the page System, Sign-in shows it")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            actions.lift_limit(name=options["name"], address=options["address"], by=None)
        except ConsoleError as error:
            raise CommandError(error.message) from error
