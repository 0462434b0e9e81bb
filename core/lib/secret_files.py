"""Secrets from files: `FOO_FILE` names one that holds what `FOO` would. No Django: the stack reads them too.

Whoever may list processes or inspect containers sees their environment; a mounted file shows its path alone.
"""

from collections.abc import Mapping
from pathlib import Path

# Every setting that is, or may hold, a secret.
SETTINGS = (
    "CONSOLE_SECRET_KEY",
    "CONSOLE_RECORD_SECRETS",
    "CONSOLE_DATABASE_URL",
    "CONSOLE_USECASES_DATABASE_URL",
    "CONSOLE_REDIS_URL",
    "CONSOLE_FEATURES_URL",
    "CONSOLE_KAFKA_CONFIG",
    "CONSOLE_MLFLOW_PASSWORD",
    "CONSOLE_AIRFLOW_JWT_SECRET",
    "CONSOLE_AIRFLOW_PASSWORD",
    "CONSOLE_EMAIL_URL",
    "CONSOLE_SPARK_AUTH_SECRET",
    "CONSOLE_SPARK_TARGETS",
    "CONSOLE_SPARK_CONF",
)
SUFFIX = "_FILE"
LARGEST_BYTES = 64 * 1024


class SecretFileError(Exception):
    """What is wrong with a FOO_FILE, and what to do; it never quotes the content."""


def value(name: str, environ: Mapping[str, str]) -> str | None:
    """What the variable says, or the file that NAME_FILE names; None when neither is set.

    An empty variable counts as none beside a file: compose files set those that they were not told.
    Raises SecretFileError when both are set, and for a file that is missing, unreadable, empty or no text.
    """
    said, path = environ.get(name), environ.get(name + SUFFIX)
    if not path:
        return said
    if said:
        raise SecretFileError(f"{name} and {name}{SUFFIX} are both set: take one of them out.")
    return _read(name + SUFFIX, Path(path))


def _read(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError as error:
        raise SecretFileError(f"{variable} names {path}, which is not there. Mount or write it.") from error
    except OSError as error:
        why = f"{variable} names {path}, which cannot be read: {error.strerror}. "
        raise SecretFileError(why + "It must be a file that this process's user may read.") from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{variable} names {path}, which is no UTF-8 text.") from error
    if len(content) > LARGEST_BYTES:
        raise SecretFileError(f"{variable} names {path}, which is too large to be a secret.")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise SecretFileError(f"{variable} names {path}, which is empty. Write the secret into it.")
    return text
