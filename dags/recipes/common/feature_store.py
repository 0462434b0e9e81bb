"""The feature store on Redis: the newest values of each thing by its id, under a version with one schema.

    store = feature_store.connect()
    store.put_many("titanic", "1", schema={"Age": "number"}, rows=[Row("7", {"Age": 22.0}, event_at)])
    store.get("titanic", "7").values

Pipelines write, pipelines and the console read; Redis is all that this needs. Every key begins with
`feature:`, which is all that the pipelines' account of Redis may touch:

    feature:entities                       set of entities
    feature:versions:<entity>              sorted set of versions, by when each was first complete (ms)
    feature:schemas:<entity>               hash: version -> its schema
    feature:facts:<entity>                 hash: version -> what its last writer told of it
    feature:ids:<entity>:<version>         sorted set of ids, by when each expires (ms)
    feature:row:<entity>:<version>:<id>    a row; Redis removes it when it expires

Rows are counted and listed by their index, never by a walk over all keys. An entity has one writer at a time.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Any, Final, Literal

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

Kind = Literal["integer", "number", "text", "boolean"]
Value = int | float | str | bool | None
Schema = Mapping[str, Kind]

KEPT_FOR: Final = timedelta(days=30)
LONGEST_ID: Final = 300  # characters
AT_ONCE: Final = 500  # rows a round trip, so that none takes long
TIMEOUT_S: Final = 5.0

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "boolean": (bool,),
}


class FeatureStoreError(Exception):
    """What went wrong with the feature store, and what to do, in words."""


class StoreAway(FeatureStoreError):
    """Redis gave no usable answer in time. Trying again later is right."""


class Invalid(FeatureStoreError):
    """A name, an id, a schema or a value that cannot be."""


class NotThere(FeatureStoreError):
    """No such entity, version or row, or its time is over."""


class Unreadable(NotThere):
    """Under this id lies what is no row of this store."""


@dataclass(frozen=True)
class Row:
    """The values of one thing as of `event_at`, which says its zone. id: any text of one line."""

    id: str
    values: Mapping[str, Value]
    event_at: datetime


@dataclass(frozen=True)
class Features:
    """A row as it is kept."""

    entity: str
    id: str
    version: str
    event_at: datetime
    expires_at: datetime
    values: dict[str, Value]


@dataclass(frozen=True)
class Damaged:
    """Stands for a row that cannot be read: something else wrote it."""

    id: str


@dataclass(frozen=True)
class Version:
    """n_rows: those that have not expired. facts: what its last writer told of it, such as `data_source`.

    Where these cannot be read, schema and facts are empty, and since is None.
    """

    entity: str
    version: str
    schema: dict[str, Kind]
    since: datetime | None
    n_rows: int
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """n_older: rows that were left out, because a newer event had written them already."""

    n_rows: int
    n_older: int


def connect() -> "FeatureStore":
    """The store that ATALAYA_FEATURES_URL names, as pipelines meet it. Raises StoreAway when nothing does."""
    url = os.environ.get("ATALAYA_FEATURES_URL")
    if not url:
        raise StoreAway("The environment of Airflow's tasks lacks ATALAYA_FEATURES_URL; `make up` sets it.")
    retry = Retry(ExponentialBackoff(cap=1.0, base=0.1), 2, supported_errors=(redis.ConnectionError,))
    client = redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
        retry=retry,
    )
    return FeatureStore(client)


class FeatureStore:
    """client: with time limits of its own, and `decode_responses`. Every method raises StoreAway."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    # --- writing

    def put_many(
        self,
        entity: str,
        version: str,
        *,
        schema: Schema,
        rows: Iterable[Row],
        expires_in: timedelta = KEPT_FOR,
        facts: Mapping[str, str] | None = None,
        is_all: bool = False,
    ) -> Written:
        """Write rows; the version is seen by readers once all of them are there.

        is_all: these are all rows of the version, so that others of it end now.

        Raises Invalid before anything is written: for another schema than the version has, for a row whose
        values are not those of the schema, for a name or an id that cannot be.
        """
        _require_name("entity", entity), _require_name("version", version)
        _require_schema(schema)
        if expires_in <= timedelta(0):
            raise Invalid(f"Rows of {entity} would expire at once: give a time above 0.")
        checked = list({row.id: row for row in rows if _is_sound(row, schema)}.values())
        with _translated():
            self._settle_schema(entity, version, schema)
            written = sum(self._put(entity, version, part, expires_in) for part in _parts(checked))
            if is_all:
                self._end_others(entity, version, {row.id for row in checked})
            self._announce(entity, version, facts or {})
        return Written(written, len(checked) - written)

    def _settle_schema(self, entity: str, version: str, schema: Schema) -> None:
        key, mine = f"feature:schemas:{entity}", dict(schema)
        if self._client.hsetnx(key, version, json.dumps(mine)):
            return
        theirs = _object(self._in_bytes("HGET", key, version))
        if theirs is None:
            raise Invalid(
                f"The schema of version {version} of {entity} cannot be read. Write the rows under a version"
                " of their own."
            )
        if theirs != mine:
            different = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
            raise Invalid(
                f"Version {version} of {entity} has another schema: it differs in {', '.join(different)}."
                " Write the rows under a version of their own."
            )

    def _put(self, entity: str, version: str, rows: Sequence[Row], expires_in: timedelta) -> int:
        there = self._rows(entity, version, [row.id for row in rows])
        newer = [
            row
            for row, found in zip(rows, there, strict=True)
            if not isinstance(found, Features) or found.event_at <= row.event_at
        ]
        expires_at = datetime.now(UTC) + expires_in
        expires_ms, ids = _ms(expires_at), f"feature:ids:{entity}:{version}"
        last = self._in_bytes("ZREVRANGE", ids, 0, 0, "WITHSCORES", withscores=True)
        with self._client.pipeline(transaction=True) as pipe:
            for row in newer:
                told = {
                    "event_at": row.event_at.isoformat(),
                    "expires_at": expires_at.isoformat(),
                    "values": row.values,
                }
                text = json.dumps(told, ensure_ascii=False, allow_nan=False)
                pipe.set(_row_key(entity, version, row.id), text, pxat=expires_ms)
            if newer:
                pipe.zadd(ids, {row.id: expires_ms for row in newer})
            pipe.zremrangebyscore(ids, "-inf", _ms(datetime.now(UTC)))
            pipe.pexpireat(ids, max([expires_ms, *(int(score) for _id, score in last)]))
            pipe.execute()
        return len(newer)

    def _end_others(self, entity: str, version: str, kept: set[str]) -> None:
        """By an expiry that is over: the account of pipelines may remove nothing otherwise."""
        others = [id_ for id_ in self.ids(entity, version) if id_ not in kept]
        for part in _parts(others):
            with self._client.pipeline(transaction=True) as pipe:
                for id_ in part:
                    pipe.pexpireat(_row_key(entity, version, id_), 1)
                pipe.zadd(f"feature:ids:{entity}:{version}", dict.fromkeys(part, 1))
                pipe.zremrangebyscore(f"feature:ids:{entity}:{version}", "-inf", 1)
                pipe.execute()

    def _announce(self, entity: str, version: str, facts: Mapping[str, str]) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.sadd("feature:entities", entity)
            pipe.hset(f"feature:facts:{entity}", version, json.dumps(dict(facts), ensure_ascii=False))
            pipe.zadd(f"feature:versions:{entity}", {version: _ms(datetime.now(UTC))}, nx=True)
            pipe.execute()

    # --- reading

    def get(
        self, entity: str, id_: str, *, version: str | None = None, as_of: datetime | None = None
    ) -> Features:
        """One row, of the newest version unless one is named. as_of: the version that was newest then.

        Raises NotThere; also when the row has expired. Unreadable, which is one, when it is damaged.
        """
        version, id_ = version or self.newest(entity, as_of=as_of).version, _id(id_)
        (found,) = self.rows(entity, [id_], version=version)
        if isinstance(found, Damaged):
            raise Unreadable(f"{_shown(id_)} in version {version} of {entity} cannot be read: write it anew.")
        if found is None:
            raise NotThere(
                f"The feature store has no {_shown(id_)} in version {version} of {entity}, or no longer:"
                " rows expire."
            )
        return found

    def get_many(
        self, entity: str, ids: Sequence[str], *, version: str | None = None, as_of: datetime | None = None
    ) -> list[Features | None]:
        """Rows in the order of their ids; None for those that are not there, or cannot be read.

        Raises NotThere, Invalid.
        """
        version = version or self.newest(entity, as_of=as_of).version
        found = self.rows(entity, [_id(id_) for id_ in ids], version=version)
        return [row if isinstance(row, Features) else None for row in found]

    def rows(self, entity: str, ids: Sequence[str], *, version: str) -> list[Features | Damaged | None]:
        """As `get_many`, with those that cannot be read told apart; so are those of ids that nobody could
        look up, which only another can have put among the ids.

        Raises Invalid for a name that cannot be.
        """
        _require_name("entity", entity), _require_name("version", version)
        with _translated():
            return [row for part in _parts(ids) for row in self._rows(entity, version, part)]

    def _rows(self, entity: str, version: str, ids: Sequence[str]) -> list[Features | Damaged | None]:
        sound = [id_ for id_ in ids if _is_id(id_)]
        texts = self._in_bytes("MGET", *(_row_key(entity, version, id_) for id_ in sound)) if sound else []
        found = {
            id_: None if text is None else _features(entity, version, id_, text)
            for id_, text in zip(sound, texts, strict=True)
        }
        return [found.get(id_, Damaged(id_)) for id_ in ids]

    def _in_bytes(self, *command: Any, **options: Any) -> Any:
        """The answer as it is: of one that is no text in one place, the client would give nothing at all."""
        return self._client.execute_command(*command, NEVER_DECODE=True, **options)

    def ids(self, entity: str, version: str, *, first: int = 0, n: int | None = None) -> list[str]:
        """Ids of the rows that have not expired, from place `first`; those that expire first come first."""
        _require_name("entity", entity), _require_name("version", version)
        with _translated():
            found = self._in_bytes(
                "ZRANGEBYSCORE",
                f"feature:ids:{entity}:{version}",
                _ms(datetime.now(UTC)),
                "+inf",
                "LIMIT",
                first,
                -1 if n is None else n,
            )
        return [id_.decode(errors="backslashreplace") for id_ in found]

    def entities(self) -> list[str]:
        """Names of all entities."""
        with _translated():
            return sorted(str(name) for name in self._client.smembers("feature:entities"))

    def versions(self, entity: str) -> list[Version]:
        """All versions that were written whole, the newest first; none for an entity that nobody wrote."""
        return list(self._versions(entity, "+inf", None))

    def newest(self, entity: str, *, as_of: datetime | None = None) -> Version:
        """The newest version, or the one that was so at `as_of`. Raises NotThere."""
        until = "+inf" if as_of is None else _ms(as_of)
        for version in self._versions(entity, until, 1):
            return version
        when = "" if as_of is None else f" from before {as_of.isoformat()}"
        raise NotThere(f"The feature store holds no version of {_shown(entity)}{when}.")

    def version(self, entity: str, version: str) -> Version:
        """Raises NotThere."""
        for found in self.versions(entity):
            if found.version == version:
                return found
        raise NotThere(f"The feature store has no version {_shown(version)} of {_shown(entity)}.")

    def _versions(self, entity: str, until: str | int, n: int | None) -> Iterator[Version]:
        _require_name("entity", entity)
        now = _ms(datetime.now(UTC))
        with _translated():
            named = self._client.zrevrangebyscore(
                f"feature:versions:{entity}",
                until,
                "-inf",
                start=0,
                num=-1 if n is None else n,
                withscores=True,
            )
            with self._client.pipeline(transaction=False) as pipe:
                for name, _since in named:
                    pipe.execute_command("HGET", f"feature:schemas:{entity}", name, NEVER_DECODE=True)
                    pipe.execute_command("HGET", f"feature:facts:{entity}", name, NEVER_DECODE=True)
                    pipe.zcount(f"feature:ids:{entity}:{name}", now, "+inf")
                told = pipe.execute()
        for n_th, (name, since) in enumerate(named):
            schema, facts, n_rows = told[3 * n_th : 3 * n_th + 3]
            kinds, told_of_it = _object(schema) or {}, _object(facts) or {}
            yield Version(entity, str(name), kinds, _moment(since), int(n_rows), told_of_it)


@contextmanager
def _translated() -> Iterator[None]:
    """Redis's own words into ours; they name the address and never the password."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise StoreAway(f"Redis refused the account of the feature store: {error}") from error
    except redis.RedisError as error:
        raise StoreAway(f"The feature store (Redis) does not answer: {error}") from error
    except UnicodeDecodeError as error:
        raise StoreAway(f"The feature store (Redis) answers with what is no text: {error}") from error


def _require_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{_shown(name)} cannot be the name of {'an' if what == 'entity' else 'a'} {what}: it has 1 to 64"
            " letters, digits, dots, dashes and underscores."
        )


def _require_schema(schema: Schema) -> None:
    if not schema:
        raise Invalid("A schema names at least one value.")
    for name, kind in schema.items():
        if kind not in _TYPES:
            raise Invalid(f"{name} is of no known type: {kind!r}. Known are {', '.join(_TYPES)}.")


def _id(id_: str) -> str:
    """Spaces, slashes, letters of any script are fine. Raises Invalid for what nobody could look up."""
    if not id_ or len(id_) > LONGEST_ID:
        raise Invalid(f"An id has 1 to {LONGEST_ID} characters; {_shown(id_)} has {len(id_)}.")
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in id_):
        raise Invalid(f"An id is whole characters on one line; {_shown(id_)} is not.")
    return id_


def _is_id(id_: str) -> bool:
    try:
        return bool(_id(id_))
    except Invalid:
        return False


def _is_sound(row: Row, schema: Schema) -> bool:
    """True. Raises Invalid, which names the row and the value."""
    where = f"Row {_shown(_id(row.id))}"
    if row.event_at.tzinfo is None:
        raise Invalid(f"{where}: its event time names no zone.")
    if different := sorted(schema.keys() ^ row.values.keys()):
        raise Invalid(f"{where} has not the names of the schema: {', '.join(different[:10])} differ.")
    for name, value in row.values.items():
        is_of_kind = isinstance(value, _TYPES[schema[name]])
        is_boolean_too_many = isinstance(value, bool) and schema[name] != "boolean"
        is_number = not isinstance(value, float) or math.isfinite(value)
        if value is not None and (not is_of_kind or is_boolean_too_many or not is_number):
            raise Invalid(f"{where}: {name} is {_shown(value)}, which is no {schema[name]}.")
    return True


def _features(entity: str, version: str, id_: str, text: Any) -> Features | Damaged:
    told = _object(text)
    if told is None:
        return Damaged(id_)
    event_at, expires_at, values = (told.get(name) for name in ("event_at", "expires_at", "values"))
    times = _time(event_at), _time(expires_at)
    if times[0] is None or times[1] is None or not isinstance(values, dict):
        return Damaged(id_)
    return Features(entity, id_, version, *times, values)


def _object(text: Any) -> dict[str, Any] | None:
    """An object of JSON that can be handed on as such; None for all else, whoever wrote it."""
    try:
        found = json.loads(text if isinstance(text, str) else text.decode())
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (AttributeError, ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE))


def _row_key(entity: str, version: str, id_: str) -> str:
    """The id comes last: whatever it holds, no two rows share a key."""
    return f"feature:row:{entity}:{version}:{id_}"


def _time(text: Any) -> datetime | None:
    """None for what is no moment with its zone, or is one that some zone cannot name."""
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return at if at.tzinfo is not None and MINYEAR < at.year < MAXYEAR else None


def _moment(ms: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _shown(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else text[:59] + "…"
