"""Server time, bytes and queries of pages in this process, on a database that was filled for it."""

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import django

MOST_MS = 50.0  # p95 of a page


@contextlib.contextmanager
def throwaway_console() -> Iterator[None]:
    """Django on a database of its own, with every table and no row."""
    from stack import nowhere, throwaway

    with tempfile.TemporaryDirectory(prefix="atalaya-bench-") as folder, throwaway.server() as url:
        var_dir = Path(folder)
        (var_dir / "static").mkdir()
        nowhere.forget_the_callers()
        database = url.format(database="console")
        os.environ |= nowhere.settings(var_dir, database_url=database, usecases_url=database)
        os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
        from django.conf import settings

        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
        django.setup()
        logging.disable(logging.WARNING)  # there is no broker, which every live page would say
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


def signed_in() -> Any:
    """A scientist's browser."""
    from django.contrib.auth.models import Group
    from django.test import Client

    from core.access.models import User

    user = User.objects.create_user("bench")
    user.groups.add(Group.objects.get(name="scientist"))
    client = Client()
    client.force_login(user)
    return client


class Figures(NamedTuple):
    """Of one page: server time in ms (cpu: of this process alone, whatever else the machine does)."""

    median: float
    p95: float
    cpu: float
    n_bytes: int
    n_queries: int


def measured(client: Any, url: str, rounds: int) -> Figures:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = client.get(url)
    if answer.status_code != 200:
        sys.exit(f"{url} answered {answer.status_code}.")
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    n_queries = len(queries)
    times_ms, cpu_ms = [], []
    for _ in range(rounds):
        began_at, cpu_at = time.perf_counter(), time.process_time()
        client.get(url)
        times_ms.append((time.perf_counter() - began_at) * 1000)
        cpu_ms.append((time.process_time() - cpu_at) * 1000)
    p95 = statistics.quantiles(times_ms, n=20, method="inclusive")[-1]
    median = statistics.median
    return Figures(median(times_ms), p95, median(cpu_ms), len(answer.content), n_queries)


def compared_with_bounds(
    arguments: list[str] | None,
    about: str | None,
    heading: str,
    *,
    fill: Callable[[], Any],
    pages: Callable[[], dict[str, str]],
    is_over: Callable[[str, Figures], bool],
) -> int:
    """Print a line for each page of a console that `fill` has filled; 1 when one is over its bound, else 0.

    about: the help of the command. pages: name -> address.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args(arguments).rounds
    is_slow = False
    with throwaway_console():
        from core.lib import collector

        fill()
        client = signed_in()
        for url in pages().values():
            client.get(url)
        collector.spare_what_stays()  # as the web process does once it is ready
        print(f"{heading}; {rounds} rounds each")
        print(f"{'page':<22}{'median':>10}{'p95':>10}{'cpu':>10}{'bytes':>12}{'queries':>9}")
        for name, url in pages().items():
            found = measured(client, url, rounds)
            mark = "  over its bound" if is_over(name, found) else ""
            is_slow |= bool(mark)
            print(
                f"{name:<22}{found.median:>7.1f} ms{found.p95:>7.1f} ms{found.cpu:>7.1f} ms"
                f"{found.n_bytes:>12,}{found.n_queries:>9}{mark}",
                flush=True,
            )
    return int(is_slow)
