"""`make down` and `make reset`: stop, leave nobody behind, and forget."""

import shutil
from collections.abc import Sequence

from stack import account, catalogue, groups, postgres, spark_jobs, supervisor
from stack.config import Config
from stack.parts import Part

FOUNDATIONS = ("postgres", "redis", "kafka")


def stop(config: Config, parts: Sequence[Part] | None = None) -> bool:
    """Stop these parts, or everything with the supervisor; answers whether there was anything to stop."""
    was_running = supervisor.is_running(config)
    if parts is not None:
        supervisor.stop(config, {part.name for part in parts})
    elif was_running:
        supervisor.shut_down(config, last=FOUNDATIONS)
    stopped = parts if parts is not None else list(catalogue.PROGRAMS.values())
    left_behind = groups.end_all(config, stopped)
    # Last: a worker could start another. Without the console nobody could tell what became of them.
    had_jobs = parts is None and spark_jobs.end(config)
    return was_running or bool(left_behind) or had_jobs


def reset(config: Config) -> None:
    """Stop the stack and remove all that it wrote, and what is installed when that lies in its folder."""
    folders = [config.var_dir, account.refuge(config.var_dir)]
    if config.venv_dir.is_relative_to(config.var_dir):
        folders.append(
            account.refuge(postgres.package())
        )  # found by what is installed: asked before that goes
    stop(config)
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
