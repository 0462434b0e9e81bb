"""Whether the committed `openapi.yaml` is what the code says today; `--write` makes it so."""

import difflib
import sys
from importlib import import_module

import django

from stack import nowhere
from stack.config import REPO

FILE = REPO / "openapi.yaml"


def main(arguments: list[str]) -> int:
    nowhere.put_in_place()
    django.setup()
    today = import_module("console.openapi").as_yaml().decode()  # needs Django to be set up
    if arguments == ["--write"]:
        FILE.write_text(today)
        print(f"Wrote {FILE.name}.")
        return 0
    committed = FILE.read_text()
    changes = difflib.unified_diff(
        committed.splitlines(), today.splitlines(), "committed", "today", lineterm=""
    )
    print("\n".join(changes))
    return 0 if committed == today else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
