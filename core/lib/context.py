"""Who is asking, from where, under which request id: readable anywhere below a request or a task."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
remote_addr: ContextVar[str] = ContextVar("remote_addr", default="")
