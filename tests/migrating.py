"""The test's database at another migration, and back at the newest afterwards."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


@pytest.fixture
def migrate(transactional_db) -> Iterator[Callable[[tuple[str, str]], Any]]:
    """Goes to a migration, (app, name), and gives the apps as they are there."""

    def go_to(target: tuple[str, str]) -> Any:
        MigrationExecutor(connection).migrate([target])
        return MigrationExecutor(connection).loader.project_state([target]).apps

    yield go_to
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
