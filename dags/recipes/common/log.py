"""Lines for the task's log: what Airflow and the console show while a run goes on."""

import sys


def say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()
