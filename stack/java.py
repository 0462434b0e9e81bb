"""Finds a Java that is new enough, from JAVA_HOME or the PATH."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from stack.errors import StackError

OLDEST = 17
HINT = f"Install a JDK {OLDEST} or newer (Debian: openjdk-17-jdk-headless), or set JAVA_HOME to one."


def find() -> Path:
    """The `java` program to use.

    Raises StackError when there is none, or only one that is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise StackError(f"Kafka and Spark need Java, and there is none {where}. {HINT}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True).stderr
    version = major(said)
    if version is None or version < OLDEST:
        raise StackError(f"{found} is Java {version or 'of an unknown version'}; {OLDEST} is needed. {HINT}")
    return Path(found)


def major(said: str) -> int | None:
    """The major version in what `java -version` prints: 17 for `17.0.15`, 8 for `1.8.0_392`."""
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else None
