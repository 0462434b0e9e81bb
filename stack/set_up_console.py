"""Run inside the console's environment at each `make up`: its set-up commands, in one process to save time.

Writes to standard output one JSON object: what the user must be told (the one-time password of a first
admin), and whether nobody has used the installation yet.
What the commands say otherwise goes to standard error.
"""

import io
import json
import sys

import django
from django.conf import settings
from django.core.management import CommandError, call_command


def main() -> int:
    try:
        told, is_empty = run()
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"told": told, "is_empty": is_empty}))
    return 0


def run() -> tuple[str, bool]:
    """What the user must be told, and whether nobody has used the installation yet. Again does no harm.

    Raises CommandError, before anything is changed, for a database that is newer than the code.
    """
    django.setup()
    call_command("upgrade_databases", stdout=sys.stderr)
    if settings.CONSOLE_STATIC_DIR is None:
        call_command("collectstatic", interactive=False, stdout=sys.stderr, verbosity=0)
    told = io.StringIO()
    call_command("ensure_admin", stdout=told)
    call_command("issue_pipeline_tokens", stdout=sys.stderr)
    call_command("ensure_topics", stdout=sys.stderr)
    from console.demo import queries  # its models load with the settings

    return told.getvalue(), queries.is_empty()


if __name__ == "__main__":
    sys.exit(main())
