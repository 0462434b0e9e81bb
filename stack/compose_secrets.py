"""`make secrets`: what docker-compose.yml needs and nobody may guess, into `.env` beside it, mode 0600.

Only what is missing is made; whatever stands there stays. Any Python runs it, with nothing installed.
"""

import fcntl
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from core.lib.files import write_whole
from stack import config, secrets
from stack.errors import StackError

PREFIX = "ATALAYA_SECRET_"
NEEDLESS = {"supervisor"}  # of the embedded stack alone
TOKENS = (*(name for name in secrets.TOKENS if name not in NEEDLESS), "s3", "grafana", "notebook")
# What goes into addresses or files of servers, where other signs would be taken for a part of those.
PLAIN = re.compile(r"[A-Za-z0-9._~+=-]*")
# Where it goes into addresses alone, other signs may be written as those have them: %40 for @.
ENCODED = re.compile(r"([A-Za-z0-9._~+=-]|%[0-9A-Fa-f]{2})*")
# Hosted Kafkas have passwords of all sorts of signs; it goes into JSON.
QUOTED = re.compile(r'[^"\\]*')
OWNERS = tuple(name for name in secrets.TOKENS if name.startswith("database_"))
BREAKS = {
    **{PREFIX + name.upper(): PLAIN for name in (*OWNERS, "redis", "features", "spark", "airflow_admin")},
    f"{PREFIX}KAFKA": QUOTED,
}
HEADER = "# Made by `make secrets` for docker-compose.yml. To change one: docs/containers.md.\n"


def main(path: Path = config.REPO / ".env") -> int:
    """Fill the file and say what was done, without any value."""
    try:
        made = ensure(path)
    except (StackError, OSError, UnicodeDecodeError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {len(made)} secrets made." if made else f"{path}: every secret is there.")
    return 0


def ensure(path: Path) -> list[str]:
    """Bring the file to hold every secret; the names of those that were made.

    Raises StackError for a name that stands there twice and a value that cannot work, OSError when the file
    cannot be written.
    """
    path = path.resolve()  # a link stays one
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two at once would hand out passwords that the file forgets
        text = path.read_text() if path.exists() else HEADER
        if told := fault(_values(text.splitlines())):
            raise StackError(told)
        filled, made = fill(text, wanted())
        if made:
            write_whole(path, filled)
        path.chmod(0o600)
    finally:
        os.close(folder)
    return made


def wanted() -> dict[str, str]:
    """A new value for each variable, in the order in which the file gets them."""
    return {PREFIX + name.upper(): value for name, value in secrets.generate(TOKENS).items()}


def fill(text: str, values: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with a value for each variable that has none, and which these were.

    An empty one is filled where it stands, others come at the end.
    """
    lines = text.splitlines()
    places = _places(lines)
    made = []
    for name, value in values.items():
        place = places.get(name)
        if place is None:
            lines.append(f"{name}={value}")
        elif lines[place].partition("=")[2].strip() in ("", '""', "''"):
            lines[place] = f"{name}={value}"
        else:
            continue
        made.append(name)
    return "\n".join(lines) + "\n", made


def fault(values: Mapping[str, str]) -> str:
    """Which of these secrets cannot work, and what to do, without its value; empty where all can."""
    signs = {**BREAKS, **dict.fromkeys(_of_outside(values), ENCODED)}
    odd = [name for name, allowed in signs.items() if not allowed.fullmatch(values.get(name, ""))]
    if not odd:
        return ""
    allowed = {
        QUOTED: 'no " and no \\',
        ENCODED: "letters, digits and . _ ~ + = - alone, and others as %40 stands for @",
    }.get(signs[odd[0]], "letters, digits and . _ ~ + = - alone")
    return (
        f"{odd[0]} holds signs that break the addresses and files which it goes into: choose {allowed}, here "
        "and at the service that asks for it."
    )


def _of_outside(values: Mapping[str, str]) -> list[str]:
    """Secrets of accounts that somebody else makes, of Redis and where nobody here may make databases."""
    found = []
    if values.get("ATALAYA_BUNDLED_REDIS") == "0":
        found += [f"{PREFIX}REDIS", f"{PREFIX}FEATURES"]
    if values.get("ATALAYA_POSTGRES_ADMIN") == "":
        found += [PREFIX + name.upper() for name in OWNERS]
    return found


def _values(lines: list[str]) -> dict[str, str]:
    """What stands behind each variable, as Compose reads it: quotes and comments left out."""
    told = {}
    for line in lines:
        name, is_set, value = line.partition("=")
        if is_set and not name.lstrip().startswith("#"):
            told[name.removeprefix("export ").strip()] = value.strip()
    return {
        name: text[1:].partition(text[0])[0] if text[:1] in ("'", '"') else text.partition(" #")[0].rstrip()
        for name, text in told.items()
    }


def _places(lines: list[str]) -> dict[str, int]:
    """Which line sets each of our variables."""
    found: dict[str, int] = {}
    for number, line in enumerate(lines):
        name = line.partition("=")[0].removeprefix("export ").strip()
        if not name.startswith(PREFIX) or "=" not in line:
            continue
        if name in found:
            raise StackError(f"{name} stands there twice, in lines {found[name] + 1} and {number + 1}.")
        found[name] = number
    return found


if __name__ == "__main__":
    sys.exit(main())
