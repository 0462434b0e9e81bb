"""Kafka's jars: resolved by the Ivy inside PySpark, accepted only when they are those of `jars.sha256`."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from stack.config import REPO
from stack.errors import StackError

IVY_FILE = REPO / "requirements" / "ivy.xml"
SUMS_FILE = REPO / "requirements" / "jars.sha256"
MARK = "complete"


def is_complete(folder: Path) -> bool:
    """Whether the folder holds the jars of this very list."""
    mark = folder / MARK
    return mark.exists() and mark.read_text() == SUMS_FILE.read_text()


def resolve(folder: Path, *, java_program: Path, environment: Path) -> None:
    """Fetch the jars into `folder`, which appears only when all of them are as expected."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pattern = part / "jars" / "[artifact]-[revision].[ext]"
    command: list[str | Path] = [
        java_program,
        "-cp",
        f"{_pyspark_jars(environment)}/*",
        "org.apache.ivy.Main",
        "-warn",
    ]
    command += ["-cache", part / "cache", "-ivy", IVY_FILE, "-confs", "kafka", "-retrieve", pattern]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise StackError(f"Ivy could not fetch Kafka's jars:\n{_last_lines(done.stdout)}")
    faults = compare(part / "jars", parse(SUMS_FILE.read_text()))
    if faults:
        raise StackError("Kafka's jars are not those of requirements/jars.sha256:\n  " + "\n  ".join(faults))
    (part / "jars" / MARK).write_text(SUMS_FILE.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    (part / "jars").rename(folder)
    shutil.rmtree(part)


def parse(text: str) -> dict[str, str]:
    """File name to SHA-256, from the lines that `sha256sum` writes."""
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {name: digest for digest, name in lines}


def compare(folder: Path, wanted: dict[str, str]) -> list[str]:
    """What is missing, changed or too many in the folder."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    missing = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    extra = [f"{name} is not in the list" for name in sorted(found.keys() - wanted.keys())]
    changed = [
        f"{name} differs" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]
    ]
    return missing + extra + changed


def _pyspark_jars(environment: Path) -> Path:
    return next(environment.glob("lib/python*/site-packages/pyspark/jars"))


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])
