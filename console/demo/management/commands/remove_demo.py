"""`manage.py remove_demo`: takes away all that the demonstration made, but the audit trail."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from console.demo import removal
from console.demo.errors import CannotBegin
from core.lib.errors import ConsoleError

AGAIN = "`manage.py remove_demo` again goes on from there."


class Command(BaseCommand):
    help = (
        "Remove the demonstration: its users, runs, predictions, replays, jobs, alerts, drift windows; its "
        "versions are archived. The audit trail and what Airflow and MLflow keep of it stay."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            counts = removal.remove(self.stdout.write)
        except CannotBegin as error:
            raise CommandError(str(error)) from error
        except ConsoleError as error:
            raise CommandError(f"{error.message} {AGAIN}") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"PostgreSQL does not answer: {error}. {AGAIN}") from error
        found = [f"{n} {what}" for what, n in counts.items() if n]
        self.stdout.write(f"Removed: {', '.join(found)}." if found else "There is no demonstration.")
