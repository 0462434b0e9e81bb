"""`manage.py create_user NAME --role R…`: a new person; prints their one-time password alone."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.access import actions, policy
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
        parser.add_argument("--json", action="store_true", help="print name, roles and password as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            user, password = actions.create_user(
                options["name"], roles=options["role"], email=options["email"], by=None
            )
        except InvalidRequest as error:
            raise CommandError(error.message) from error
        if options["json"]:
            said = {"username": user.username, "roles": user.role_names, "one_time_password": password}
            self.stdout.write(json.dumps(said))
        else:
            self.stdout.write(password)
