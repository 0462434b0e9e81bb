"""How uvicorn speaks to websockets: as it does by itself, but whoever does not listen is let go.

uvicorn pings every socket and closes one that does not answer, politely: once all that was sent has been
read. A browser that never reads would keep its place, and what was sent to it, for ever.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class Protocol(WebSocketsSansIOProtocol):
    """Named in `uvicorn --ws`."""

    def keepalive_timeout(self) -> None:
        """No answer to a ping: what is not read by now will not be."""
        super().keepalive_timeout()
        self.transport.abort()
