"""Bringing both databases up to the code: one at a time, and never one that is newer than the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.loader import MigrationLoader

from core.lib.errors import Conflict

ALIASES = (DEFAULT_DB_ALIAS, "usecases")
LOCK = 0x41544C5A
MOST_NAMED = 3
WAITS_FOR_ANOTHER_S = 600


def run(*, stdout: TextIO | OutputWrapper) -> None:
    """Migrate both. Who comes while another does so waits, and finds nothing left to do.

    Raises Conflict for a database that is newer than the code, and when the other does not end in time;
    neither is changed then.
    """
    with _alone():
        for alias in ALIASES:
            _refuse_newer(alias)
        call_command("migrate", interactive=False, stdout=stdout)
        call_command("migrate", "usecases", database="usecases", interactive=False, stdout=stdout)


def newer(alias: str) -> list[str]:
    """Migrations that the database has and no file of this release holds: a newer one made them."""
    loader = MigrationLoader(connections[alias])
    return sorted(
        f"{app}.{name}" for app, name in set(loader.applied_migrations) - set(loader.disk_migrations)
    )


def _refuse_newer(alias: str) -> None:
    names = newer(alias)
    if names:
        others = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        name = connections[alias].settings_dict["NAME"]
        raise Conflict(
            f"The database {name} is newer than this release, which does not know"
            f" {', '.join(names[:MOST_NAMED])}{others}. Install the newer release again, or restore a backup"
            " of this one into empty databases."
        )


@contextmanager
def _alone() -> Iterator[None]:
    """A lock that ends with its transaction, which a pooler keeps on one connection."""
    keeper = connections[DEFAULT_DB_ALIAS].copy()
    try:
        keeper.set_autocommit(False)
        with keeper.cursor() as cursor:
            # It is idle while others migrate, and must not be ended for that.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute(f"SET LOCAL lock_timeout = {WAITS_FOR_ANOTHER_S * 1000}")
            try:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            except OperationalError as error:
                raise Conflict(
                    f"Another set-up has been at work on these databases for {WAITS_FOR_ANOTHER_S} s. Wait"
                    f" for its end, or end its session in PostgreSQL, and try again. ({error})"
                ) from error
        yield
    finally:
        keeper.close()
