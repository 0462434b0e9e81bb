"""Every command: the Makefile's, `python -m stack`'s and `manage.py`'s."""

import argparse
import re
from collections.abc import Iterator

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from stack.__main__ import command_line
from stack.config import REPO
from stack.reference.markdown import code, notice, table

DOOR = "python3 -m stack.bootstrap --as-is -m stack"
HEAD = f"""{notice("the Makefile, `stack/__main__.py` and the commands of the apps")}

# Commands

## make

`make` alone lists them. Settings may stand behind a command: `make up CONSOLE_PORT_BASE=9000`.
"""
STACK_HEAD = f"""## python -m stack

What the Makefile calls, with options of its own: `{DOOR} status --json`.
"""
MANAGE_HEAD = f"""## manage.py

`{DOOR} manage COMMAND` runs one with the settings of the stack.
In a container it is `python manage.py COMMAND`. Django's own commands are there too.
"""


def page() -> str:
    lines = [HEAD, *table(("command", "does"), ((code(f"make {name}"), does) for name, does in of_make()))]
    lines += [STACK_HEAD, *table(("command", "does"), of_the_stack()), MANAGE_HEAD]
    for name, command in of_manage():
        lines += _manage_command(name, command)
    return "\n".join(lines).rstrip() + "\n"


def of_make() -> list[tuple[str, str]]:
    """(name, what it does) of each target that `make` lists."""
    return re.findall(r"^([a-z-]+):.*?## (.*)$", (REPO / "Makefile").read_text(), re.M)


def of_the_stack() -> Iterator[tuple[str, str]]:
    """(command with its arguments, what it does)."""
    (commands,) = (
        action for action in command_line()._actions if isinstance(action, argparse._SubParsersAction)
    )
    about = {action.dest: action.help or "" for action in commands._choices_actions}
    for name, parser in commands.choices.items():
        arguments = [_usage(action) for action in _own(parser, set())]
        yield code(" ".join([name, *arguments])), about.get(name, "")


def of_manage() -> Iterator[tuple[str, BaseCommand]]:
    """The commands of this project, by name."""
    for name, app in sorted(get_commands().items()):
        command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
        # by name, since environments may lie in the checkout, too
        if (REPO / type(command).__module__.partition(".")[0]).is_dir():
            yield name, command


def _manage_command(name: str, command: BaseCommand) -> list[str]:
    general = {action.dest for action in BaseCommand().create_parser("manage.py", "any")._actions}
    own = _own(command.create_parser("manage.py", name), general)
    lines = [f"### {name}", "", str(command.help), ""]
    rows = [(code(_usage(action, is_bare=True)), _about(action)) for action in own]
    return lines + (table(("argument", "meaning"), rows) if rows else [])


def _own(parser: argparse.ArgumentParser, general: set[str]) -> list[argparse.Action]:
    return [action for action in parser._actions if action.dest not in general | {"help"}]


def _usage(action: argparse.Action, *, is_bare: bool = False) -> str:
    """As one types it; in brackets what may be left out, unless `is_bare`."""
    value = str(action.metavar or action.dest.upper())
    if action.nargs == argparse.REMAINDER:
        return "..."
    if not action.option_strings:
        return value if is_bare or action.required else f"[{value}]"
    takes_none = action.nargs == 0
    more = " ..." if action.nargs in ("+", "*") else ""
    text = action.option_strings[-1] + ("" if takes_none else f" {value}{more}")
    return text if is_bare or action.required else f"[{text}]"


def _about(action: argparse.Action) -> str:
    parts = [str(action.help or "")]
    if action.choices and str(next(iter(action.choices))) not in parts[0]:
        parts.append(f"one of {', '.join(map(str, action.choices))}")
    if action.required and action.option_strings:
        parts.append("must be given")
    if action.default not in (None, "", False, [], argparse.SUPPRESS):
        parts.append(f"default {action.default}")
    return "; ".join(filter(None, parts))
