"""Rows of the use cases live in a database of their own, which pipelines write and the console reads."""

from typing import Any, Final

APP: Final = "usecases"
ALIAS: Final = "usecases"


class Router:
    """Sends the app `usecases` to its database, and everything else to the console's."""

    def db_for_read(self, model: Any, **_hints: Any) -> str | None:
        """Its own database for its own models; no opinion on others."""
        return ALIAS if model._meta.app_label == APP else None

    db_for_write = db_for_read

    def allow_migrate(self, alias: str, app_label: str, **_hints: Any) -> bool:
        """Each app's tables are made in one database only."""
        return (alias == ALIAS) == (app_label == APP)
