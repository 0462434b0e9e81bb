"""Settings from the environment: every missing or unusable variable is named, with where to look it up."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, overload

from django.core.exceptions import ImproperlyConfigured

from core.lib import secret_files

REPO = Path(__file__).resolve().parents[2]


def load_file(path: Path) -> None:
    """Read KEY=value lines into the environment; what is set already wins, as KEY or as KEY_FILE.

    A missing file is no error.
    """
    if not path.is_file():
        return
    for key, value in _pairs(path):
        if not os.environ.get(key + secret_files.SUFFIX):
            os.environ.setdefault(key, value)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            yield key.strip(), value.strip()


def text(name: str, default: str | None = None) -> str:
    """The variable's value; without a default it has to be set."""
    value = _told(name, default)
    if value is None:
        raise ImproperlyConfigured(
            f"{name} is not set. `make up` writes it into var/console.env; .env.example says what it holds."
        )
    return value


def _told(name: str, default: str | None) -> str | None:
    """What the environment says, for a secret perhaps by a file."""
    if name not in secret_files.SETTINGS:
        return os.environ.get(name, default)
    try:
        value = secret_files.value(name, os.environ)
    except secret_files.SecretFileError as error:
        raise ImproperlyConfigured(str(error)) from error
    return default if value is None else value


def number(name: str, default: int) -> int:
    """A whole number."""
    value = os.environ.get(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} is {value!r}, which is not a whole number; see .env.example."
        ) from error


def flag(name: str, *, default: bool = False) -> bool:
    """True for 1, true, yes and on; False for 0, false, no, off and nothing."""
    value = os.environ.get(name, "1" if default else "0").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0. See .env.example.")


def json_value(name: str, default: str) -> Any:
    """Whatever the JSON text holds; the default where the variable is unset or empty."""
    value = _told(name, default) or default
    try:
        return json.loads(value)
    except ValueError as error:
        # Without the value: it may hold a password.
        raise ImproperlyConfigured(f"{name} is no JSON ({error}); see .env.example.") from error


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list without its empty members."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


@overload
def path(name: str, default: Path) -> Path: ...
@overload
def path(name: str) -> Path | None: ...
def path(name: str, default: Path | None = None) -> Path | None:
    """An absolute path, or the default where the variable is unset or empty."""
    value = os.environ.get(name)
    return Path(value).expanduser().resolve() if value else default
