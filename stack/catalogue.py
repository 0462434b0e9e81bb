"""All parts of the stack, in the order in which they are started and shown."""

from stack import (
    airflow,
    console_parts,
    course_api,
    demonstration,
    kafka,
    mlflow_server,
    postgres,
    redis_server,
)
from stack.errors import StackError
from stack.parts import Part

SERVERS = (postgres.PART, redis_server.PART, kafka.PART, mlflow_server.PART, *airflow.PARTS, course_api.PART)
CONSOLE = console_parts.PARTS
PARTS: dict[str, Part] = {part.name: part for part in (*SERVERS, *CONSOLE)}
# What the supervisor knows: the parts, and what is started now and then and ends by itself.
PROGRAMS: dict[str, Part] = {**PARTS, demonstration.PART.name: demonstration.PART}


def chosen(names: str | None) -> list[Part]:
    """The parts in a comma-separated list; all of them for None."""
    if names is None:
        return list(PARTS.values())
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    find(*wanted)
    return [part for part in PARTS.values() if part.name in wanted]


def find(*names: str) -> list[Part]:
    """The parts, or errands, with these names.

    Raises StackError for a name that is none.
    """
    unknown = sorted(set(names) - PROGRAMS.keys())
    if unknown:
        raise StackError(f"There is no part {', '.join(unknown)}. The parts are: {', '.join(PARTS)}.")
    return [PROGRAMS[name] for name in names]
