"""Jars of Kafka, and of Spark's connector to it: resolved by the Ivy inside PySpark, accepted only when they
are those of a list of hashes.
"""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.config import REPO
from stack.errors import StackError

MARK = "complete"


@dataclass(frozen=True)
class JarSet:
    """Jars that belong together. name: of the folder; conf: of the Ivy file; whose: in messages."""

    name: str
    conf: str
    whose: str
    ivy_file: Path
    sums_file: Path


LISTS, HERE = REPO / "requirements", REPO / "stack"
KAFKA = JarSet("jars", "kafka", "Kafka's jars", LISTS / "ivy.xml", LISTS / "jars.sha256")
SPARK = JarSet(
    "spark-jars", "spark", "Spark's jars for Kafka", HERE / "spark-ivy.xml", HERE / "spark-jars.sha256"
)
SETS = (KAFKA, SPARK)


def is_complete(folder: Path, wanted: JarSet) -> bool:
    """Whether the folder holds the jars of this very list."""
    mark = folder / MARK
    return mark.exists() and mark.read_text() == wanted.sums_file.read_text()


def resolve(folder: Path, wanted: JarSet, *, java_program: Path, environment: Path) -> None:
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
    command += [
        "-cache",
        part / "cache",
        "-ivy",
        wanted.ivy_file,
        "-confs",
        wanted.conf,
        "-retrieve",
        pattern,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise StackError(f"Ivy could not fetch {wanted.whose}:\n{_last_lines(done.stdout)}")
    sums = wanted.sums_file.read_text()
    faults = compare(part / "jars", parse(sums))
    if faults:
        where = wanted.sums_file.relative_to(REPO)
        raise StackError(f"{wanted.whose} are not those of {where}:\n  " + "\n  ".join(faults))
    (part / "jars" / MARK).write_text(sums)
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
