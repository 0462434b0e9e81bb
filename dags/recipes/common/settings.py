"""What a run may be told, as a dataclass. Imported while Airflow parses: standard library only."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self


class Told:
    """Of frozen dataclasses whose fields are called as the params of their pipeline."""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """params: of a DAG run, already checked against their schema; others are ignored."""
        return cls(**{field.name: params[field.name] for field in fields(cls) if field.name in params})  # type: ignore[arg-type]
