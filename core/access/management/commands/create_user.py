"""`manage.py create_user NAME --role R… [--token]`: prints a new person's one-time password, and a token."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from core.access import actions, policy, tokens
from core.lib.errors import InvalidRequest


class Command(BaseCommand):
    help = "Create a user and print a one-time password, which has to be changed at the first sign-in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--role",
            action="extend",
            nargs="+",
            required=True,
            metavar="ROLE",
            help=f"one or more of: {', '.join(policy.ROLES)}",
        )
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--token",
            action="store_true",
            help=f"print an API token, too: for all that the user may, {tokens.DEFAULT_DAYS} days",
        )
        parser.add_argument("--json", action="store_true", help="print name, roles and password as JSON")

    @transaction.atomic
    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            user, password = actions.create_user(
                options["name"], roles=options["role"], email=options["email"], by=None
            )
        except InvalidRequest as error:
            raise CommandError(error.message) from error
        said = {"username": user.username, "roles": user.role_names, "one_time_password": password}
        lines = [password]
        if options["token"]:
            scopes = policy.token_scopes_of(user)
            _token, key = tokens.create(
                user, name="command line", scopes=scopes, days=tokens.DEFAULT_DAYS, by=None
            )
            said["token"] = key
            lines.append(key)
        self.stdout.write(json.dumps(said) if options["json"] else "\n".join(lines))
