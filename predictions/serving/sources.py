"""Where the background threads learn champions and tokens: the console's own queries."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from django.db import connection, transaction

from core.access import queries as access_queries
from core.access import tokens
from models_registry import actions as registry_actions
from models_registry import queries as registry_queries
from predictions.serving.callers import Caller, Grant
from predictions.serving.snapshot import ChampionRef


class FileSource(Protocol):
    """Where a champion's files come from; each call may raise ConsoleError."""

    def onnx(self, ref: ChampionRef) -> bytes: ...
    def folder(self, ref: ChampionRef, target: Path) -> None: ...
    def reference(self, ref: ChampionRef) -> bytes: ...


class Source(FileSource, Protocol):
    """What serving asks of the rest of the console; each call may raise ConsoleError or a database error.

    before: who may answer where the champion is refused, if anybody may.
    is_refused: whether a process that serves has said that it cannot load the champion.
    note_serving: why a champion cannot be served here, "" when it is; answers: who does meanwhile.
    """

    def grants(self) -> list[Grant]: ...
    def champions(self) -> list[ChampionRef]: ...
    def before(self, model: str) -> ChampionRef | None: ...
    def is_refused(self, ref: ChampionRef) -> bool: ...
    def model_names(self) -> list[str]: ...
    def note_used(self, token_ids: set[int]) -> None: ...
    def note_serving(self, ref: ChampionRef, error: str, answers: ChampionRef | None) -> None: ...


# A database that takes connections and answers none must not keep a revoked token alive.
QUERY_TIMEOUT_MS = 5_000


@contextmanager
def _in_time() -> Iterator[None]:
    """Queries of this block end by their deadline."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [QUERY_TIMEOUT_MS])
        yield


class ConsoleSource:
    """The live installation: PostgreSQL for tokens and champions, MLflow for their files."""

    @_in_time()
    def grants(self) -> list[Grant]:
        return [
            Grant(
                found.key_sha256,
                Caller(
                    user_id=found.user_id,
                    username=found.username,
                    token_id=found.token_id,
                    scopes=frozenset(found.scopes),
                    expires_at=found.expires_at.timestamp(),
                    is_demo=found.is_demo,
                ),
            )
            for found in access_queries.live_tokens()
        ]

    @_in_time()
    def champions(self) -> list[ChampionRef]:
        return [_ref(found) for found in registry_queries.champions()]

    @_in_time()
    def before(self, model: str) -> ChampionRef | None:
        found = registry_queries.champion_before(model)
        return None if found is None else _ref(found)

    @_in_time()
    def is_refused(self, ref: ChampionRef) -> bool:
        trouble = registry_queries.champion_trouble(ref.model)
        return trouble is not None and str(trouble.version.version) == ref.version

    @_in_time()
    def model_names(self) -> list[str]:
        return list(registry_queries.model_names())

    @_in_time()
    def note_used(self, token_ids: set[int]) -> None:
        tokens.note_used(token_ids)

    @_in_time()
    def note_serving(self, ref: ChampionRef, error: str, answers: ChampionRef | None) -> None:
        registry_actions.note_serving(
            ref.model,
            int(ref.version),
            process=f"{socket.gethostname()}:{os.getpid()}"[:200],
            error=error,
            answers=int(answers.version) if answers is not None else None,
        )

    def onnx(self, ref: ChampionRef) -> bytes:
        return registry_queries.champion_onnx(_champion(ref))

    def folder(self, ref: ChampionRef, target: Path) -> None:
        registry_queries.champion_folder(_champion(ref), target)

    def reference(self, ref: ChampionRef) -> bytes:
        return registry_queries.champion_reference(_champion(ref))


def _ref(found: registry_queries.Champion) -> ChampionRef:
    return ChampionRef(
        model=found.model,
        version=found.version,
        run_id=found.run_id,
        sha256=found.sha256,
        spec_json=found.spec_json.decode(),
        serve_as=found.serve_as,
        reference_sha256=found.reference_sha256,
        since=found.since,
        is_demo=found.is_demo,
        missing_as=found.missing_as,
    )


def _champion(ref: ChampionRef) -> registry_queries.Champion:
    return registry_queries.Champion(
        model=ref.model,
        version=ref.version,
        run_id=ref.run_id,
        sha256=ref.sha256,
        spec_json=ref.spec_json.encode(),
        serve_as=ref.serve_as,
        size_bytes=0,
        reference_sha256=ref.reference_sha256,
        since=ref.since,
        is_demo=ref.is_demo,
        missing_as=ref.missing_as,
    )
