"""What an application needs besides its parameters: access to a service, or files from the console.

An application names its needs; nothing else is given to its driver. How a service is reached goes into
`access.json` of the job's folder, which only this user reads and which goes when the job ends: passwords are
neither on a command line nor in the environment, which every process of the job would inherit.

Apps above this one register what they alone can give.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from core.access.models import User
from jobs.applications import Application

Params = Mapping[str, Any]


def _no_check(_params: Params, _by: User) -> None:
    return None


def _no_access() -> dict[str, Any]:
    return {}


def _no_files(_params: Params, _folder: Path) -> None:
    return None


@dataclass(frozen=True)
class Supply:
    """check: raises InvalidRequest or Denied before a job is queued. access: how a service is reached.
    write: puts files into a folder before the driver starts, perhaps again; raises ConsoleError.
    """

    check: Callable[[Params, User], None] = _no_check
    access: Callable[[], dict[str, Any]] = _no_access
    write: Callable[[Params, Path], None] = _no_files


_registered: dict[str, Supply] = {}


def register(name: str, supply: Supply) -> None:
    """Let applications need this; called in `AppConfig.ready`."""
    _registered[name] = supply


def of(application: Application) -> dict[str, Supply]:
    """What the application needs, by name."""
    return {name: _registered[name] for name in application.needs}


def mlflow_access() -> dict[str, str]:
    """The variables that MLflow's client reads."""
    said = {
        "MLFLOW_TRACKING_URI": settings.CONSOLE_MLFLOW_URL,
        "MLFLOW_TRACKING_USERNAME": settings.CONSOLE_MLFLOW_USERNAME,
        "MLFLOW_TRACKING_PASSWORD": settings.CONSOLE_MLFLOW_PASSWORD,
    }
    return {name: value for name, value in said.items() if value}
