"""The feature store, which pipelines write, as the console reads it: their module, its own client."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from django.utils.translation import gettext as _

from core.lib import redis
from core.lib.errors import NotFound, Unavailable
from dags.recipes.common.feature_store import (
    Damaged,
    Features,
    FeatureStore,
    Invalid,
    Kind,
    NotThere,
    StoreAway,
    Unreadable,
    Version,
)


class FeatureGateway:
    """Every method raises Unavailable when Redis gives no answer in time."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def versions(self, entity: str) -> list[Version]:
        """The newest first. Raises NotFound for what cannot be an entity."""
        with _translated():
            return self._store.versions(entity)

    def features(self, entity: str, id_: str, *, version: str = "") -> Features:
        """One row, of the newest version unless one is named. Raises NotFound."""
        with _translated():
            return self._store.get(entity, id_, version=version or None)

    def page(self, version: Version, *, first: int, n: int) -> list[Features | Damaged]:
        """Rows that have not expired, from place `first`, with a value for every name of the schema."""
        with _translated():
            ids = self._store.ids(version.entity, version.version, first=first, n=n)
            found = self._store.rows(version.entity, ids, version=version.version)
        return [_by(version.schema, row) if isinstance(row, Features) else row for row in found if row]


def _by(schema: Mapping[str, Kind], row: Features) -> Features:
    return replace(row, values={name: row.values.get(name) for name in schema})


def connect() -> FeatureGateway:
    """Tests replace this."""
    return FeatureGateway(FeatureStore(redis.client()))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise NotFound(_("This row cannot be read: something else than a pipeline wrote it.")) from error
    except (NotThere, Invalid) as error:  # what no row can be called is not there either
        raise NotFound(_("The feature store has no such row, or no longer: rows expire.")) from error
    except StoreAway as error:
        raise Unavailable(_("The feature store (Redis) does not answer."), service="Redis") from error
