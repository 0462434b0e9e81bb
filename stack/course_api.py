"""The HTTP service that two use cases collect from, `usecases/course_api`; it knows nothing of the rest."""

from stack import base
from stack.config import REPO, Config
from stack.parts import Part, Program

NAME = "course-api"


def _program(config: Config) -> Program:
    said = {
        name: value
        for name, value in config.settings.items()
        if name.startswith("COURSE_API_") or name == "CONSOLE_DATA_DIR"
    }
    folders = {"CONSOLE_VAR_DIR": str(config.var_dir), "CONSOLE_PORT_BASE": str(config.port_base)}
    argv = [str(config.console_python), "-m", "usecases.course_api"]
    return Program(argv, base.environment(**said, **folders), REPO)


def _health(config: Config, _started_at: float) -> None:
    base.ask(f"http://127.0.0.1:{config.port(NAME)}/livez")


PART = Part(NAME, program=_program, health=_health, port=NAME)
