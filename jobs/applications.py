"""Which applications there are, what parameters each takes, and whether given values are such.

An application is a module of `jobs.spark_apps` with a dataclass `Params`: its fields are the parameters, its
docstring says what it does. It may name what it NEEDS (`supplies`), SCOPES that whoever submits it must hold
beside that of jobs, and that it IS_STREAMING. Nothing here starts Spark.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import structlog
from django.utils.translation import gettext as _

from core.lib import paths
from core.lib.errors import ConsoleError, InvalidRequest, NotFound
from jobs import spark_apps
from scoring import parquet

log = structlog.get_logger(__name__)

LONGEST_TEXT = 2000
LARGEST_WHOLE = 2**53  # what JSON numbers hold exactly everywhere
KINDS = {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path"}


@dataclass(frozen=True)
class Parameter:
    """One value that an application takes.

    kind: text, integer, number, boolean, path or choice. minimum, maximum: inclusive.
    endings: of the files that a path may name, or that the folder it names holds; empty: any.
    pattern: that a whole text matches.
    fits: for Parquet files: takes the columns of each, and raises ValueError when they are of no use.
    """

    name: str
    label: str
    help: str
    kind: str
    required: bool
    default: Any = None
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    endings: tuple[str, ...] = ()
    pattern: str = ""
    fits: Callable[[Sequence[parquet.Column]], object] | None = None


@dataclass(frozen=True)
class Application:
    """What can be submitted. doc: plain paragraphs, each on one line, as are the items of a list in them.

    is_streaming: whether it runs until somebody stops it, and goes on from its checkpoint when started again.
    """

    name: str
    title: str
    doc: str
    path: Path
    parameters: tuple[Parameter, ...]
    needs: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    is_streaming: bool = False

    @property
    def summary(self) -> str:
        """The first paragraph."""
        return self.doc.partition("\n\n")[0]


@cache
def all() -> tuple[Application, ...]:
    """By name. One whose module cannot be read is logged and left out."""
    names = sorted(found.name for found in pkgutil.iter_modules(spark_apps.__path__))
    return tuple(found for name in names if (found := _read(name)) is not None)


def _read(name: str) -> Application | None:
    """None for a module that is none, or none that can be read."""
    try:
        module = importlib.import_module(f"{spark_apps.__name__}.{name}")
        return _application(module) if hasattr(module, "Params") else None
    except Exception:  # whatever somebody wrote into it: the others can be submitted
        log.exception("jobs.application_not_read", name=name)
        return None


def find(name: str) -> Application:
    """Raises NotFound."""
    found = next((one for one in all() if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in all())
        message = _("There is no application “%(name)s”; there are: %(known)s.")
        raise NotFound(message % {"name": name[:100], "known": known})
    return found


def check(application: Application, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values to run with, defaults filled in, paths whole: JSON throughout.

    Raises InvalidRequest that names each faulty value as `params.<name>`.
    """
    known = {one.name: one for one in application.parameters}
    faults = {name: _("There is no such parameter.") for name in params if name not in known}
    values = {}
    for name, parameter in known.items():
        try:
            values[name] = _checked(parameter, params.get(name))
        except ConsoleError as error:
            faults[name] = error.message
    if faults:
        errors = [{"field": f"params.{name}", "message": message} for name, message in faults.items()]
        words = " ".join(f"{name}: {message}" for name, message in faults.items())
        raise InvalidRequest(words, errors=errors)
    return values


def suggestions(parameter: Parameter) -> list[str]:
    """Paths that fit: files of the data folder, and folders that earlier jobs wrote."""
    output = set()
    names = []
    for name in paths.offered(parameter.endings or ("",)):
        folder = str(Path(name).parent)
        if not Path(name).is_absolute():
            names.append(name)
        elif folder not in output:
            output.add(folder)
            names.append(folder)
    return names


def _application(module: ModuleType) -> Application:
    name = module.__name__.rpartition(".")[2]
    hints = get_type_hints(module.Params)
    parameters = tuple(_parameter(field, hints[field.name]) for field in dataclasses.fields(module.Params))
    title = name.replace("_", " ").capitalize()
    return Application(
        name=name,
        title=title,
        doc=_unwrapped(module),
        path=Path(str(module.__file__)),
        parameters=parameters,
        needs=getattr(module, "NEEDS", ()),
        scopes=getattr(module, "SCOPES", ()),
        is_streaming=getattr(module, "IS_STREAMING", False),
    )


def _unwrapped(module: ModuleType) -> str:
    return re.sub(r"(?<!\n)\n(?!\n|- )\s*", " ", inspect.getdoc(module) or "")


def _parameter(field: dataclasses.Field, hint: Any) -> Parameter:
    is_optional = get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)
    if is_optional:
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    default = None if field.default is MISSING else field.default
    given = field.metadata
    return Parameter(
        name=field.name,
        label=given.get("label", field.name),
        help=given.get("help", ""),
        kind="choice" if get_origin(hint) is Literal else KINDS[hint],
        required=field.default is MISSING and not is_optional,
        default=str(default) if isinstance(default, Path) else default,
        choices=get_args(hint) if get_origin(hint) is Literal else (),
        minimum=given.get("minimum"),
        maximum=given.get("maximum"),
        endings=tuple(given.get("endings", ())),
        pattern=given.get("pattern", ""),
        fits=given.get("fits"),
    )


def _checked(parameter: Parameter, value: Any) -> Any:
    if value is None or value == "":
        value = parameter.default
    if value is None:
        if parameter.required:
            raise InvalidRequest(_("It is missing."))
        return None
    return CHECKS[parameter.kind](parameter, value)


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise InvalidRequest(_("Write a text."))
    if len(value) > LONGEST_TEXT:
        raise InvalidRequest(_("Write at most %(n)d characters.") % {"n": LONGEST_TEXT})
    if parameter.pattern and not re.fullmatch(parameter.pattern, value):
        raise InvalidRequest(_("“%(value)s” has characters that do not belong here.") % {"value": value[:50]})
    return value


def _integer(parameter: Parameter, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_WHOLE:
        raise InvalidRequest(_("Write a whole number."))
    _check_bounds(parameter, value)
    return value


def _number(parameter: Parameter, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) > LARGEST_WHOLE or math.isnan(value):
        raise InvalidRequest(_("Write a number."))
    _check_bounds(parameter, value)
    return float(value)


def _check_bounds(parameter: Parameter, value: float) -> None:
    if parameter.minimum is not None and value < parameter.minimum:
        raise InvalidRequest(_("Write at least %(minimum)s.") % {"minimum": parameter.minimum})
    if parameter.maximum is not None and value > parameter.maximum:
        raise InvalidRequest(_("Write at most %(maximum)s.") % {"maximum": parameter.maximum})


def _boolean(_parameter: Parameter, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(_("Say true or false."))
    return value


def _choice(parameter: Parameter, value: Any) -> Any:
    found = next((one for one in parameter.choices if one == value and type(one) is type(value)), None)
    if found is None:
        known = ", ".join(str(one) for one in parameter.choices)
        raise InvalidRequest(_("Choose one of: %(known)s.") % {"known": known})
    return found


def _path(parameter: Parameter, value: Any) -> str:
    path = paths.inside_allowed(_text(parameter, value))
    wanted = parameter.endings
    files = [path]
    if path.is_dir():
        inside = _entries(path, wanted, shown=value[:200]) if wanted else []
        if wanted and not inside:
            message = _("The folder “%(name)s” holds no %(endings)s file.")
            raise InvalidRequest(message % {"name": value[:200], "endings": _(" or ").join(wanted)})
        files = [paths.inside_allowed(str(entry)) for entry in inside]  # a link in it may lead elsewhere
    elif paths.is_private(path.name):
        message = _("Spark reads no file whose name begins with a dot or an underscore: rename “%(name)s”.")
        raise InvalidRequest(message % {"name": path.name[:200]})
    elif wanted and not path.name.endswith(wanted):
        message = _("“%(name)s” is no %(endings)s file.")
        raise InvalidRequest(message % {"name": value[:200], "endings": _(" or ").join(wanted)})
    if parameter.fits is not None:
        _look(parameter.fits, files)
    return str(path)


def _look(fits: Callable[[Sequence[parquet.Column]], object], files: list[Path]) -> None:
    """What a driver would find out after its start, or not survive."""
    for path, table in zip(files, _looked(files), strict=True):
        try:
            fits(table.columns)
        except ValueError as error:
            raise _not_read(path.name, error) from error


def _looked(files: list[Path]) -> list[parquet.Table]:
    try:
        return parquet.look(files)
    except parquet.Refused as error:
        raise _not_read(error.path.name if error.path else "", error) from error
    except OSError as error:
        raise _not_read(Path(error.filename or "").name, error.strerror) from error


def _not_read(name: str, error: object) -> InvalidRequest:
    words = {"name": name[:200], "error": str(error).rstrip(".")[:500]}
    return InvalidRequest(_("“%(name)s” cannot be read: %(error)s.") % words)


def _entries(folder: Path, endings: tuple[str, ...], *, shown: str) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if entry.name.endswith(endings)]
        return [entry for entry in found if not paths.is_private(entry.name)]  # Spark reads none of these
    except OSError as error:
        message = _("The folder “%(name)s” cannot be read: %(error)s.")
        raise InvalidRequest(message % {"name": shown, "error": error.strerror}) from error


CHECKS = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "path": _path,
}
