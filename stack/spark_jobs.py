"""Spark jobs that were started on a stack: detached, so that neither a part nor the supervisor ends them.

Each of their processes carries its job's folder in its environment, which lies in the stack's.
"""

import contextlib

import psutil

from stack import groups
from stack.config import Config

MARK = "ATALAYA_JOB_FOLDER"


def processes(config: Config) -> list[psutil.Process]:
    """Launchers, drivers and all that these started, and that live."""
    folder = f"{(config.var_dir / 'jobs').resolve()}/"
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_theirs = process.environ().get(MARK, "").startswith(folder)
            if is_theirs and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(config: Config) -> bool:
    """End them all; the console finds at its next start that they are lost. True if there were any."""
    return groups.end_found(lambda: processes(config))
