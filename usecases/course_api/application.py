"""The service's answers. Its sentences are Spanish, and its faults are kept: clients must live with them.

- Forest cover: a sample follows the group and not the batch, and each call for the same batch draws another;
  the last group's slice is empty, which ends in a 500.
- Listings: batches differ in size and in the regions that they hold, some answers are slow, some are refused.
"""

import asyncio
import random
import time
from itertools import cycle, pairwise
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from usecases.course_api.settings import Settings
from usecases.course_api.state import NONE_YET, Listings, Progress, State, Store
from usecases.course_api.tables import Table, forest_cover_table, real_estate_table

N_GROUPS = N_BATCHES = 10
GROUPS = tuple(str(number) for number in range(1, N_GROUPS + 1))
DAYS = ("Tuesday", "Wednesday")
SIZES = (1300, 1000, 1700, 700, 1600)  # rows of one batch of listings after the other, then again
SLOW_EVERY = 3
RETRY_AFTER_S = 1

BAD_GROUP = "Número de grupo inválido"
ALL_COLLECTED = "Ya se recolectó toda la información minima necesaria"  # its spelling
ALL_LISTINGS = "Ya se recolectó toda la información mínima necesaria"
BAD_DAY = "Día inválido: los datos se publican el Tuesday y el Wednesday"
TOO_MANY = "Demasiadas solicitudes: intente de nuevo más tarde"


class CourseApi:
    """The handlers, with what they share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.state_file)
        self._forest = forest_cover_table(settings.data_dir)
        self._estate = real_estate_table(settings.data_dir)
        self._batches = cut(len(self._estate.lines))

    async def data(self, request: Request) -> Response:
        group = _group(request)
        day = request.query_params.get("day")
        return self._cover(group) if day is None else await self._listings(group, day)

    async def restart(self, request: Request) -> Response:
        """One group, or all of them."""
        is_one = "group_number" in request.query_params
        with self._store.changing() as state:
            state.forget([str(_group(request))] if is_one else GROUPS)
        return JSONResponse({"ok": True})

    def _cover(self, group: int) -> Response:
        with self._store.changing() as state:
            number = self._moved_on(state, group)
        size = len(self._forest.lines) // N_GROUPS
        rows = self._forest.rows(group * size, (group + 1) * size)
        if len(rows) < size // N_BATCHES:
            return PlainTextResponse("Internal Server Error", 500)
        sample = random.sample(rows, size // N_BATCHES)
        return _given(self._forest, {"group_number": group, "batch_number": number, "data": sample})

    def _moved_on(self, state: State, group: int) -> int:
        """The number of the batch to give: the next one when the wait is over, else the same."""
        progress = state.forest_cover.setdefault(str(group), Progress())
        if progress.batch_number >= N_BATCHES:
            raise HTTPException(400, ALL_COLLECTED)
        now = time.time()
        if now - progress.at > self._settings.wait_s:
            progress.at = now
            progress.batch_number += 2 if progress.batch_number == NONE_YET else 1
        return progress.batch_number

    async def _listings(self, group: int, day: str) -> Response:
        if day not in DAYS:
            raise HTTPException(400, BAD_DAY)
        batches = self._batches[DAYS.index(day)]
        with self._store.changing() as state:
            progress = state.real_estate.setdefault(f"{group} {day}", Listings())
            if progress.given >= len(batches):
                raise HTTPException(400, ALL_LISTINGS)
            progress.calls += 1
            call = progress.calls
            if self._settings.refuse_every and call % self._settings.refuse_every == 0:
                raise HTTPException(429, TOO_MANY, headers={"Retry-After": str(RETRY_AFTER_S)})
            first, last = batches[progress.given]
            progress.given += 1
            number = progress.given
        if call % SLOW_EVERY == 0:
            await asyncio.sleep(self._settings.slow_s)
        # not strict: a row that was cut in the file lacks its last fields here too
        rows = [dict(zip(self._estate.names, row, strict=False)) for row in self._estate.rows(first, last)]
        facts = {"group_number": group, "day": day, "batch_number": number}
        return _given(self._estate, {**facts, "data": rows})


def cut(n_rows: int) -> list[list[tuple[int, int]]]:
    """First and last (not included) row of each batch, by day: the first half of the file, then the other."""
    edges = [0]
    sizes = cycle(SIZES)
    while edges[-1] < n_rows:
        edges.append(min(edges[-1] + next(sizes), n_rows))
    batches = list(pairwise(edges))
    half = (len(batches) + 1) // len(DAYS)
    return [batches[:half], batches[half:]]


def make(settings: Settings) -> Starlette:
    """The application; reads the tables."""
    api = CourseApi(settings)
    routes = [
        Route("/data", api.data),
        Route("/restart_data_generation", api.restart),
        Route("/livez", _livez),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _told})


def _group(request: Request) -> int:
    said = request.query_params.get("group_number", "")
    if said not in GROUPS:
        raise HTTPException(400, BAD_GROUP)
    return GROUPS.index(said) + 1


def _given(table: Table, answer: dict[str, Any]) -> Response:
    return JSONResponse(answer, headers={"X-Data-Source": table.source})


async def _livez(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _told(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)
