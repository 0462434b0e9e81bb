"""A broker in memory, and a way to kill a process at every step that it takes."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from streaming import aggregator
from tests.fakes.kafka import Broker, Killed
from tests.redis_fixtures import *  # noqa: F403

WRITES = ("INSERT", "UPDATE", "DELETE")


@pytest.fixture
def broker(monkeypatch) -> Broker:
    """Every client that streams make is of this one; browsers hear of nothing."""
    broker = Broker()
    broker.install(monkeypatch)
    monkeypatch.setattr("core.lib.live._send", lambda _topic, _body: None)
    return broker


@pytest.fixture
def small_steps(monkeypatch) -> None:
    """The aggregator reads three messages at once, and writes after each time."""
    monkeypatch.setattr(aggregator, "BATCH", 3)
    monkeypatch.setattr(aggregator, "WRITE_EVERY_S", 0.0)


def deaths(broker: Broker, most: int = 400) -> Iterator[Callable[[Callable[[], None]], bool]]:
    """Ways to run something, one for each step at which it can die: of Kafka, and of the database.

    Each returns whether it died. The last one runs to its end.
    """
    for kill_at in range(1, most):

        def run(act: Callable[[], None], kill_at: int = kill_at) -> bool:
            broker.n_steps, broker.kill_at = 0, kill_at
            broker.steps.clear()
            try:
                with connection.execute_wrapper(_steps_of_rows(broker)):
                    act()
            except Killed:
                return True
            finally:
                broker.kill_at = None
            return False

        yield run
        if broker.n_steps < kill_at:
            return
    raise AssertionError(f"it takes more than {most} steps")


def _steps_of_rows(broker: Broker) -> Callable:
    def around(execute, sql, params, many, context):
        is_write = sql.lstrip().startswith(WRITES)
        if is_write:
            broker.step(f"before {sql[:40]}")
        answer = execute(sql, params, many, context)
        if is_write or sql.startswith("RELEASE"):
            broker.step(f"after {sql[:40]}")
        return answer

    return around
