"""`make up`: from whatever state to a stack in which every part is healthy, or to none and a reason."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from core.lib.files import write_whole
from stack import (
    airflow,
    catalogue,
    console_parts,
    databases,
    demonstration,
    groups,
    health,
    kafka,
    mlflow_server,
    observability,
    ports,
    postgres,
    redis_server,
    report,
    spark_cluster,
    supervisor,
)
from stack.config import Config, load
from stack.console_parts import SetUp
from stack.down import stop
from stack.errors import StackError
from stack.parts import Part

MB = 1_000_000
LEAST_FREE_BYTES = 500 * MB
LOG_LINES = 25
LOOKS_EVERY_S = 0.4
RESTORING = "restoring"  # a file in the stack's folder for as long as it is filled from a backup
PREPARED = (
    observability,  # it may find its programs missing
    postgres,
    redis_server,
    kafka,
    mlflow_server,
    airflow,
    spark_cluster,
    console_parts,
)


def up(config: Config, parts: Sequence[Part]) -> None:
    """Start these parts, unless they run and are healthy already.

    Raises StackError after stopping again what this call started.
    """
    began_at = time.monotonic()
    _require_room(config)
    _require_whole(config)
    was_running = supervisor.is_running(config)
    if was_running:
        _require_same_stack(config)
        was_running = not _ended_earlier_release(config)
    if was_running:
        _require_same_settings(config)
    missing = _missing(config, parts) if was_running else list(parts)
    if not missing:
        report.already_up(config, parts)
        return
    if not was_running:
        _clear_the_ground(config)
    try:
        if not was_running:
            _start_supervisor(config)
        found = _start(config, missing)
    except BaseException:
        print("\nStopping what was started ...", flush=True)
        stop(config, None if not was_running else missing)
        raise
    report.ready(config, parts, took_s=time.monotonic() - began_at, told=found.told)
    if found.is_empty and config.has_demonstration and len(parts) >= len(catalogue.PARTS):
        demonstration.start(config)


@contextmanager
def servers(config: Config, *names: str) -> Iterator[None]:
    """These servers alone, for a command that works on what they hold; stopped at its end.

    Raises StackError when one does not start, or the stack's ports are taken.
    """
    parts = catalogue.find(*names)
    _require_room(config)
    _clear_the_ground(config)
    try:
        _start_supervisor(config)
        _launch(config, parts, set(names))
        _await(config, parts, set())
        databases.ensure(config)
        yield
    finally:
        stop(config)


def _require_whole(config: Config) -> None:
    if (config.var_dir / RESTORING).exists():
        raise StackError(
            f"A restore into {config.var_dir} was cut off, so what is there is not whole. `make reset` "
            "clears it; then restore again."
        )


def _ended_earlier_release(config: Config) -> bool:
    """Stop a stack whose parts lack the passwords that they ask each other for since; whether it was one."""
    if not supervisor.asks_for_no_password(config):
        return False
    print("This stack was started by an earlier release: stopping it, to start it anew.", flush=True)
    stop(config)
    return True


def _clear_the_ground(config: Config) -> None:
    left = groups.end_all(config, catalogue.PROGRAMS.values())  # of a supervisor that was killed alone
    if left:
        print(f"ended what an earlier stack left of {', '.join(left)}", flush=True)
    ports.require_free(config, catalogue.parts_of(config))


def _start_supervisor(config: Config) -> None:
    config.save()
    for module in PREPARED:
        module.prepare(config)
    supervisor.write_file(config, catalogue.PROGRAMS.values())
    supervisor.start(config)


def _start(config: Config, parts: Sequence[Part]) -> SetUp:
    """Servers, then what the console needs in them, then its own processes."""
    servers = [part for part in parts if part in catalogue.SERVERS]
    console = [part for part in parts if part in catalogue.CONSOLE]
    found = SetUp()
    said: set[str] = set()
    with ThreadPoolExecutor(max_workers=4) as pool:
        _launch(config, servers, {"postgres", "redis", "kafka", "course-api"})
        _launch(config, parts, {part.name for part in catalogue.optional(config)})
        if any("postgres" in (part.name, *part.needs) for part in parts):
            _await(config, catalogue.find("postgres"), said)
            databases.ensure(config)
        _launch(config, servers, {"mlflow"})
        migration = _migrate_airflow(config, servers, pool)
        if console:
            _await(config, catalogue.find("redis", "kafka"), said)
            print("setting up the console: database, static files, first account, topics", flush=True)
            found = console_parts.set_up(config)
        _launch(config, console, {part.name for part in console})
        if migration is not None:
            migration.result()
    _await(config, parts, said)
    return found


def _migrate_airflow(
    config: Config, servers: Sequence[Part], pool: ThreadPoolExecutor
) -> Future[None] | None:
    """Bring Airflow's database up to date beside everything else, then start its parts."""
    parts = [part for part in servers if part in airflow.PARTS]

    def migrate_and_launch() -> None:
        airflow.migrate(config)
        _launch(config, parts, {part.name for part in parts})

    return pool.submit(migrate_and_launch) if parts else None


def _launch(config: Config, parts: Iterable[Part], names: set[str]) -> None:
    for part in parts:
        if part.name in names:
            supervisor.start_program(config, part)


def _await(config: Config, parts: Iterable[Part], said: set[str]) -> None:
    """Wait until each of these parts is healthy, and say so as they come; `said` holds those that are told.

    Raises StackError with the end of its log for one that does not in time.
    """
    began_at = time.monotonic()
    left = {part.name: part for part in parts}
    reasons: dict[str, str] = {}
    while left:
        for standing in health.standings(config, left.values()):
            reasons[standing.part] = standing.reason
            if standing.health == "healthy":
                if standing.part not in said:
                    report.healthy(standing)
                said.add(standing.part)
                del left[standing.part]
        if time.monotonic() - began_at > config.start_timeout_s:
            name = next(iter(left))
            raise StackError(f"{name} did not become healthy: {reasons[name]}\n{last_lines(config, name)}")
        time.sleep(LOOKS_EVERY_S if left else 0)


def last_lines(config: Config, name: str, n_lines: int = LOG_LINES) -> str:
    """The end of a part's log, with where the rest is."""
    log = config.logs_dir / f"{name}.log"
    if not log.exists():
        return f"It has written no log ({log})."
    lines = log.read_text(errors="replace").splitlines()[-n_lines:]
    return "\n".join([f"The last lines of {log}:", *(f"  {line}" for line in lines)])


def _missing(config: Config, parts: Sequence[Part]) -> list[Part]:
    healthy = {found.part for found in health.standings(config, parts) if found.health == "healthy"}
    return [part for part in parts if part.name not in healthy]


def _require_same_stack(config: Config) -> None:
    running = load(config.var_dir)
    if running is not None and running.has_spark_cluster != config.has_spark_cluster:
        raise StackError(
            f"The stack in {config.var_dir} runs {'with' if running.has_spark_cluster else 'without'} a Spark"
            " cluster (SPARK_CLUSTER): `make down` first."
        )
    if running is not None and running.has_observability != config.has_observability:
        raise StackError(
            f"The stack in {config.var_dir} runs {'with' if running.has_observability else 'without'}"
            " Prometheus (OBSERVE): `make down` first."
        )
    if running is not None and running.port_base != config.port_base:
        raise StackError(
            f"{config.var_dir} belongs to a stack that runs on ports from {running.port_base}. "
            "A second one beside it needs a folder of its own: set CONSOLE_VAR_DIR too."
        )


def _require_same_settings(config: Config) -> None:
    """Parts keep the settings that they were started with; those to be started would be given new ones."""
    running = load(config.var_dir)
    if running is None:
        return
    before, now = ({"CONSOLE_BIND": one.bind, **one.settings} for one in (running, config))
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise StackError(
            f"The stack in {config.var_dir} runs with other settings ({', '.join(changed)}): `make down`"
            " first, then `make up` applies them."
        )


def _require_room(config: Config) -> None:
    """Raises StackError when the stack's folder cannot be made, written to, or has no room left."""
    try:
        for folder in (config.var_dir, config.run_dir, config.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        config.var_dir.chmod(
            0o711 if os.geteuid() == 0 else 0o700
        )  # as root, PostgreSQL's account passes through
        config.logs_dir.chmod(0o700)
        config.run_dir.chmod(0o700)
        write_whole(config.run_dir / "probe", "")
    except OSError as error:
        raise StackError(
            f"Cannot write to {config.var_dir}: {error.strerror} ({error.filename}). "
            "CONSOLE_VAR_DIR names another place."
        ) from error
    free = shutil.disk_usage(config.var_dir).free
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"The disk of {config.var_dir} has {free // MB} MB left; {LEAST_FREE_BYTES // MB} MB are needed."
        )
