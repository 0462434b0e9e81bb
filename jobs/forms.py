"""The form that an application's parameters draw."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from core.lib.schema_form import Described, Option, SchemaForm
from jobs import applications
from jobs.applications import Application, Parameter


class JobForm(SchemaForm):
    """A field for each parameter; `params()` is what was typed, in the parameters' types.

    Rules beyond those of a field's widget are the application's: `actions.submit_job` checks them, and
    `add_fault` shows what it says.
    """

    def __init__(
        self, application: Application, *args: Any, params: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.application = application
        described = [_described(parameter) for parameter in application.parameters]
        super().__init__(described, *args, values=params, **options)

    def params(self) -> dict[str, Any]:
        """Values by name, without those left empty."""
        return {name: value for name, value in self.read().items() if value not in (None, "")}

    def add_fault(self, name: str, message: str) -> None:
        """name: `params.<name>`, as an action says it."""
        super().add_fault(name.removeprefix("params."), message)


def _described(parameter: Parameter) -> Described:
    is_path = parameter.kind == "path"
    place = _("A path in the data folder, or a whole one in the output folder.")
    return Described(
        parameter.name,
        parameter.kind,
        label=parameter.label,
        help=f"{parameter.help} {place}".strip() if is_path else parameter.help,
        required=parameter.required,
        nullable=not parameter.required and parameter.default is None,
        default=parameter.default,
        options=[Option(one, str(one), str(one)) for one in parameter.choices],
        suggested=SimpleLazyObject(partial(_suggested, parameter)) if is_path else (),
        minimum=parameter.minimum,
        maximum=parameter.maximum,
        max_length=applications.LONGEST_TEXT,
    )


def _suggested(parameter: Parameter) -> list[Option]:
    return [Option(name, name, name) for name in applications.suggestions(parameter)]
