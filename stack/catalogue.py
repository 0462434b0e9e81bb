"""All parts of the stack, in the order in which they are started and shown."""

from stack import (
    airflow,
    console_parts,
    course_api,
    demonstration,
    kafka,
    mlflow_server,
    observability,
    postgres,
    redis_server,
    spark_cluster,
)
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part

SERVERS = (postgres.PART, redis_server.PART, kafka.PART, mlflow_server.PART, *airflow.PARTS, course_api.PART)
CONSOLE = console_parts.PARTS
PARTS: dict[str, Part] = {part.name: part for part in (*SERVERS, *CONSOLE)}
CLUSTER = spark_cluster.PARTS  # only where they are asked for, as are these
OBSERVABILITY = observability.PARTS
EXPORTER = observability.EXPORTER
# What the supervisor knows: the parts, and what is started now and then and ends by itself.
PROGRAMS: dict[str, Part] = {
    **PARTS,
    **{part.name: part for part in (*CLUSTER, *OBSERVABILITY, EXPORTER)},
    demonstration.PART.name: demonstration.PART,
}


def optional(config: Config) -> list[Part]:
    """Those that not every stack has, of this one."""
    cluster = CLUSTER if config.has_spark_cluster else ()
    watching = OBSERVABILITY if config.has_observability else ()
    return [*cluster, *watching, *([EXPORTER] if observability.has_airflow_metrics(config) else ())]


def parts_of(config: Config) -> list[Part]:
    """All parts that this stack has."""
    return [*PARTS.values(), *optional(config)]


def chosen(names: str | None, config: Config) -> list[Part]:
    """The parts in a comma-separated list; all of this stack for None."""
    if names is None:
        return parts_of(config)
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    find(*wanted)
    return [part for part in PROGRAMS.values() if part.name in wanted and not part.is_errand]


def find(*names: str) -> list[Part]:
    """The parts, or errands, with these names.

    Raises StackError for a name that is none.
    """
    unknown = sorted(set(names) - PROGRAMS.keys())
    if unknown:
        raise StackError(f"There is no part {', '.join(unknown)}. The parts are: {', '.join(PARTS)}.")
    return [PROGRAMS[name] for name in names]
