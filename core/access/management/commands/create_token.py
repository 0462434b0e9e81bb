"""`manage.py create_token NAME [--scope S…] [--days N]`: prints a new API token of that user alone."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.access import policy, tokens
from core.access.models import User
from core.lib.errors import ConsoleError


class Command(BaseCommand):
    help = "Create an API token and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user whose token it will be")
        parser.add_argument(
            "--scope",
            action="extend",
            nargs="+",
            default=[],
            metavar="SCOPE",
            help="what it may do; without this, all that the user may, less managing tokens",
        )
        parser.add_argument("--days", type=int, default=tokens.DEFAULT_DAYS, help="until it ends: 1 to 365")
        parser.add_argument("--name", dest="label", default="command line", help="what to call the token")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None or user.is_system or not user.is_active:
            raise CommandError(f"There is no active user “{options['name']}”.")
        scopes = options["scope"] or policy.token_scopes_of(user)
        if not scopes:
            raise CommandError(
                f"{user.username} has no role, so a token would open nothing. Give a role first."
            )
        try:
            _token, key = tokens.create(
                user, name=options["label"][:100], scopes=scopes, days=options["days"], by=None
            )
        except ConsoleError as error:
            raise CommandError(error.message) from error
        self.stdout.write(key)
