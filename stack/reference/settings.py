"""Every setting with its default and its meaning, from `.env.example` and from where the code reads it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.lib import secret_files
from stack.config import REPO
from stack.reference.markdown import code, notice, table

EXAMPLE = REPO / ".env.example"
COMPOSE_EXAMPLE = REPO / "deploy" / "compose.env.example"
CODE = REPO / "console" / "settings.py"
KINDS = {
    "text": "text",
    "number": "whole number",
    "flag": "1 or 0",
    "json_value": "JSON",
    "words": "list, by commas",
    "path": "path",
}
_ASSIGNMENT = re.compile(r"^#?(?P<name>[A-Z][A-Z0-9_]*)=(?P<default>.*)$")
HEAD = f"""{notice("`.env.example`, `deploy/compose.env.example` and `console/settings.py`")}

# Settings

All settings come from the environment. `make up` needs none of them: it reads what you set in the
environment or in `.env` of the checkout (the environment wins), generates the secrets, and writes the outcome
to `var/console.env`. Whoever starts the console's processes without it sets them all.

A setting that holds a secret may come from a file: `CONSOLE_SECRET_KEY_FILE=/run/secrets/key` instead of
`CONSOLE_SECRET_KEY`; one line break at its end is left out. Both at once are refused.
"""
COMPOSE_HEAD = """## docker-compose.yml

`make secrets` writes the secrets to `.env`; these are further lines for it: [containers](../containers.md).
"""


@dataclass(frozen=True)
class Setting:
    """One line of an example file. default: as it stands there, empty for none."""

    name: str
    default: str
    meaning: str


@dataclass
class Section:
    """What stands below one heading of an example file."""

    title: str
    about: str = ""
    settings: list[Setting] = field(default_factory=list)


def page() -> str:
    kinds = {name: kind for name, kind, _default in read_by_the_console()}
    lines = [HEAD]
    for section in sections(EXAMPLE.read_text()):
        lines += _section(section, kinds, level="##")
    lines += [COMPOSE_HEAD]
    for section in sections(COMPOSE_EXAMPLE.read_text()):
        lines += _section(section, {}, level="###")
    return "\n".join(lines).rstrip() + "\n"


def sections(text: str) -> Iterator[Section]:
    """The file by its headings `# --- …`.

    Comment lines are the meaning of the settings that follow them without a gap; those before a line with `#`
    alone tell about the section.
    """
    found: Section | None = None
    comment: list[str] = []
    has_settings = False
    for line in text.splitlines():
        if line.startswith("# --- "):
            if found is not None:
                yield found
            found, comment, has_settings = Section(_title(line[6:])), [], False
        elif found is None:
            continue
        elif line == "#":
            found.about, comment = " ".join(comment), []
        elif match := _ASSIGNMENT.match(line):
            found.settings.append(Setting(match["name"], match["default"], " ".join(comment)))
            has_settings = True
        else:
            if has_settings:
                comment, has_settings = [], False
            comment += [line[2:]] if line.startswith("# ") else []
    if found is not None:
        yield found


def read_by_the_console(path: Path = CODE) -> Iterator[tuple[str, str, object]]:
    """(name, kind, default) of each setting that `settings.py` reads; the default where it is written out."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env"), attr=kind),
                args=[ast.Constant(value=str(name)), *others],
            ) if kind in KINDS:
                known = others and isinstance(others[0], ast.Constant)
                yield name, KINDS[kind], others[0].value if known else None  # type: ignore[attr-defined]


def _title(heading: str) -> str:
    return heading[:1].upper() + heading[1:]


def _section(section: Section, kinds: dict[str, str], *, level: str) -> list[str]:
    lines = [f"{level} {section.title}", ""]
    if section.about:
        lines += [section.about, ""]
    rows = [
        (code(one.name), _kind(one.name, kinds), code(one.default), _plain(one.meaning))
        for one in section.settings
    ]
    if not kinds:
        return lines + table(("setting", "default", "meaning"), ((row[0], *row[2:]) for row in rows))
    return lines + table(("setting", "kind", "default", "meaning"), rows)


def _kind(name: str, kinds: dict[str, str]) -> str:
    kind = kinds.get(name, "")
    return ", ".join(filter(None, (kind, "secret" if name in secret_files.SETTINGS else "")))


def _plain(meaning: str) -> str:
    """JSON examples as code; nothing that Markdown would take for markup."""
    return re.sub(r"(\{\".*\})", r"`\1`", meaning).replace("feature:*", "`feature:*`").replace("[*]", "`[*]`")
