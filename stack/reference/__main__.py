"""Whether the committed pages of docs/reference are what the code says today; `--write` makes them so."""

import difflib
import sys
from collections.abc import Callable
from importlib import import_module

import django

from stack import nowhere
from stack.config import REPO

FOLDER = REPO / "docs" / "reference"
PAGES = ("settings", "commands", "rest", "roles")


def main(arguments: list[str]) -> int:
    nowhere.put_in_place()
    django.setup()
    today = {f"{name}.md": _page(name) for name in PAGES}
    if arguments == ["--write"]:
        for name, text in today.items():
            (FOLDER / name).write_text(text)
        print(f"Wrote {', '.join(today)} in docs/reference.")
        return 0
    changes = [line for name, text in today.items() for line in _changes(name, text)]
    if changes:
        print("\n".join([*changes, "docs/reference is not what the code says: `make reference` writes it."]))
    return 1 if changes else 0


def _page(name: str) -> str:
    write: Callable[[], str] = import_module(f"stack.reference.{name}").page  # some need Django to be set up
    return write()


def _changes(name: str, today: str) -> list[str]:
    path = FOLDER / name
    committed = path.read_text() if path.exists() else ""
    return list(
        difflib.unified_diff(
            committed.splitlines(), today.splitlines(), f"committed/{name}", f"today/{name}", lineterm=""
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
