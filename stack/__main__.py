"""The stack's commands, which the Makefile calls: `python -m stack up`, `down`, `status` and so on."""

import argparse
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import (
    catalogue,
    config,
    console_parts,
    databases,
    demonstration,
    doctor,
    groups,
    health,
    postgres,
    report,
)
from stack.config import REPO, Config
from stack.down import reset, stop
from stack.errors import StackError
from stack.up import up


def main(arguments: Sequence[str] | None = None) -> int:
    options = command_line().parse_args(arguments)
    if getattr(options, "rest", [])[:1] == ["--"]:  # argparse keeps it; the program behind would stop at it
        del options.rest[0]
    if getattr(options, "rest", None):
        options.rest = options.rest[options.rest[0] == "--" :]
    try:
        wanted = config.from_environment()
        if options.command == "up":
            with _alone(wanted):
                up(wanted, catalogue.chosen(options.only, wanted))
            return 0
        if options.command == "restore":
            return _restore(wanted, options)
        site = config.load(wanted.var_dir)
        if site is None:
            print(f"There is no stack in {wanted.var_dir}; `make up` starts one.")
            return 0 if options.command in ("down", "reset") else 1
        return COMMANDS[options.command](site, options)
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
    return 1


def _down(site: Config, _options: argparse.Namespace) -> int:
    with _alone(site):
        print("Stopped." if stop(site) else "Nothing was running.")
    return 0


def _reset(site: Config, _options: argparse.Namespace) -> int:
    with _alone(site):
        reset(site)
    print(f"Removed {site.var_dir}.")
    return 0


def _backup(site: Config, options: argparse.Namespace) -> int:
    from stack import backup, backup_file  # with what only they need, as below

    path = Path(options.file).absolute() if options.file else backup.default_path(site)
    passphrase = backup_file.passphrase(is_new=True)
    with _alone(site):
        made = backup.make(site, path, passphrase)
    if made.n_waiting:
        print(
            f"{made.n_waiting} messages of predictions were not recorded yet, and are not in it: "
            "does the recorder run?"
        )
    print(f"\nBacked up to {made.path} ({made.size_bytes / report.MIB:.1f} MiB).")
    print(
        "Kafka's messages, task logs of Airflow, logs of jobs and .env are not in it; docs/operations.md "
        "says more."
    )
    return 0


def _restore(wanted: Config, options: argparse.Namespace) -> int:
    from stack import backup_file, restore

    with backup_file.opened(Path(options.file)) as found, _alone(wanted):
        restore.restore(wanted, found, backup_file.passphrase(is_new=False))
    print(f"\nRestored into {wanted.var_dir} as of {found.manifest['made_at']}. `make up` starts it.")
    return 0


def _status(site: Config, options: argparse.Namespace) -> int:
    found = health.standings(site, catalogue.parts_of(site))
    standings = [health.with_memory(site, standing) for standing in found]
    about = demonstration.standing(site)
    print(report.as_json(site, standings, about) if options.json else report.table(standings))
    if about is not None and not options.json:
        print(f"\ndemonstration: {about.words}")
    return 0 if all(standing.health == "healthy" for standing in standings) else 1


def _doctor(site: Config, options: argparse.Namespace) -> int:
    found = doctor.findings(site)
    print(doctor.as_json(found) if options.json else doctor.in_lines(found))
    return 0 if all(finding.is_well for finding in found) else 1


def _measure(site: Config, options: argparse.Namespace) -> int:
    parts = catalogue.parts_of(site)
    processes = report.processes(site, parts)
    before, began_at = health.cpu_s(processes), time.monotonic()
    time.sleep(options.seconds)
    share = (health.cpu_s(processes) - before) / (time.monotonic() - began_at)
    memory = report.total_memory_bytes(site, parts) / report.GIB
    print(
        f"load   {share:.0%} of one core over {options.seconds:.0f} s (target, idle: {report.CPU_TARGET:.0%})"
    )
    print(f"memory {memory:.2f} GiB proportional set size (target: {report.MEMORY_TARGET_GIB} GiB)")
    return 0


def _logs(site: Config, options: argparse.Namespace) -> int:
    if options.part:
        catalogue.find(options.part)
        logs = [site.logs_dir / f"{options.part}.log"]
    else:
        logs = sorted(site.logs_dir.glob("*.log"))
    n_lines = "100" if options.part else "5"
    return subprocess.run(["tail", "-n", n_lines, "-F", *logs]).returncode


def _kill(site: Config, options: argparse.Namespace) -> int:
    (part,) = catalogue.find(options.part)
    print(f"Killed {groups.kill(site, part)} processes of {part.name}; the supervisor starts it again.")
    return 0


def _psql(site: Config, options: argparse.Namespace) -> int:
    environment = {**os.environ, "PGPASSWORD": site.secrets[f"database_{options.database}"]}
    address = ["--host", "127.0.0.1", "--port", str(site.port("postgres")), "--username", options.database]
    program = postgres.binaries() / "psql"
    return subprocess.run([program, *address, *options.rest, options.database], env=environment).returncode


def _shell(site: Config, options: argparse.Namespace) -> int:
    return _manage(site, argparse.Namespace(rest=["shell", *options.rest]))


def _manage(site: Config, options: argparse.Namespace) -> int:
    return _python(site, argparse.Namespace(rest=["manage.py", *options.rest]))


def _python(site: Config, options: argparse.Namespace) -> int:
    """The console's Python with the stack's settings and nothing of the caller's but the terminal."""
    environment = {**console_parts.environment(site), "TERM": os.environ.get("TERM", "dumb")}
    return subprocess.run([site.console_python, *options.rest], cwd=REPO, env=environment).returncode


COMMANDS = {
    "down": _down,
    "reset": _reset,
    "backup": _backup,
    "status": _status,
    "doctor": _doctor,
    "measure": _measure,
    "logs": _logs,
    "kill": _kill,
    "psql": _psql,
    "shell": _shell,
    "manage": _manage,
    "python": _python,
}


def command_line() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start").add_argument(
        "--only", metavar="PART,PART", help="just these parts"
    )
    commands.add_parser("down", help="stop everything")
    commands.add_parser("reset", help="stop everything and remove all data")
    commands.add_parser("backup", help="into one file").add_argument("file", nargs="?", help="to make")
    commands.add_parser("restore", help="from a backup, into an empty folder").add_argument("file")
    commands.add_parser("status", help="how the parts are").add_argument("--json", action="store_true")
    commands.add_parser("doctor", help="what is wrong, and what to do").add_argument(
        "--json", action="store_true"
    )
    commands.add_parser("measure", help="load and memory").add_argument("--seconds", type=float, default=30)
    commands.add_parser("logs", help="follow the logs").add_argument("part", nargs="?")
    commands.add_parser("kill", help="kill -9 a part, for tests").add_argument("part")
    psql = commands.add_parser("psql", help="a prompt in one of the databases")
    psql.add_argument("--database", choices=databases.NAMES, default="console")
    others = {
        "shell": "a Python prompt with the console's settings",
        "manage": "a command of manage.py with the stack's settings",
        "python": "the console's Python with the stack's settings",
    }
    for command in (psql, *(commands.add_parser(name, help=about) for name, about in others.items())):
        command.add_argument("rest", nargs=argparse.REMAINDER)
    return parser


@contextmanager
def _alone(site: Config) -> Iterator[None]:
    """One command at a time changes a stack."""
    try:
        site.var_dir.mkdir(parents=True, exist_ok=True)
        stream = (site.var_dir / ".lock").open("w")
    except OSError as error:
        raise StackError(
            f"Cannot write to {error.filename}: {error.strerror}. CONSOLE_VAR_DIR names another place."
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
