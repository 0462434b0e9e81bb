"""The demonstration: `manage.py run_demo`, started once beside a new stack; what it says goes to its log."""

from dataclasses import dataclass

from stack import console_parts, supervisor
from stack.config import REPO, Config
from stack.parts import Part, Program

NAME = "demonstration"


@dataclass(frozen=True)
class About:
    """How the demonstration of this start of the stack is. state: running, done, failed."""

    state: str
    words: str


def _program(config: Config) -> Program:
    argv = [str(config.console_python), "manage.py", "run_demo"]
    return Program(argv, console_parts.environment(config), REPO)


def _health(_config: Config, _started_at: float) -> None:
    """It ends by itself; whether it came out well its exit status tells."""


PART = Part(NAME, program=_program, health=_health, is_errand=True)


def start(config: Config) -> None:
    """Start it and do not wait."""
    supervisor.start_program(config, PART)
    print(
        "\nA demonstration has begun, so that there is something to see: the overview shows how far it is.\n"
        "Its log: `make logs PART=demonstration`; take it away: `make remove-demo`; without it: DEMO=0.",
        flush=True,
    )


def standing(config: Config) -> About | None:
    """How it is; None when it was not started since the stack was."""
    state = supervisor.states(config).get(NAME)
    if state is None or not state.started_at:
        return None
    if state.is_up:
        return About("running", f"running; {_last_line(config)}")
    if state.exit_status == 0:
        return About("done", "done")
    return About("failed", f"failed; {_last_line(config)}")


def _last_line(config: Config) -> str:
    log = config.logs_dir / f"{NAME}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else f"it has said nothing yet ({log})"
