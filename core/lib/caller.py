"""The event loop from which a request came into its thread: where a view's coroutines run.

They share there what the loop keeps (connections, rows that are scored together), and end when whoever asked
has left.
"""

import asyncio
import contextvars
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from asgiref.sync import async_to_sync
from django.utils import translation

from core.lib import bodies
from core.lib.bodies import Receive

T = TypeVar("T")


class Caller(NamedTuple):
    """Who waits for the answer. receive: tells when they leave, once their body has been read."""

    loop: asyncio.AbstractEventLoop
    receive: Receive


current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def wait_for(work: Coroutine[Any, Any, T], *, though_left: bool = False) -> T:
    """What it gives, for a view. Raises bodies.Gone once its caller has left, unless `though_left`.

    Where no request came from a loop (commands, tests) it has one for itself.
    """
    caller, language = current.get(), translation.get_language()
    context = contextvars.copy_context()  # the id of the request

    async def told() -> T:
        with translation.override(language):  # Django keeps that for each thread
            if caller is None or though_left:
                return await work
            return await bodies.unless_left(work, caller.receive)

    if caller is None:
        return async_to_sync(told)()
    loop = caller.loop

    async def carried() -> T:
        return await loop.create_task(told(), context=context)

    return asyncio.run_coroutine_threadsafe(carried(), loop).result()
