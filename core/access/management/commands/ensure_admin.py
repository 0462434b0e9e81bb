"""`manage.py ensure_admin`: the first administrator, once; says nothing when there is one already."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.access import actions, policy
from core.access.models import User
from core.lib.errors import InvalidRequest


class Command(BaseCommand):
    help = "Create the user `admin` when no administrator is active, and print `admin <one-time password>`."

    def handle(self, *_args: Any, **_options: Any) -> None:
        admins = User.objects.filter(groups__name=policy.ADMIN, is_active=True, is_system=False)
        if admins.exists():
            return
        try:
            user, password = actions.create_user("admin", roles=[policy.ADMIN], by=None)
        except InvalidRequest as error:
            raise CommandError(
                "No administrator is active, and the name admin is taken. "
                "Create one: manage.py create_user NAME --role admin"
            ) from error
        self.stdout.write(f"{user.username} {password}")
