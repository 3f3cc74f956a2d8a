"""The end of listening, without losing anybody."""

from __future__ import annotations

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Close the server's listening sockets; connections go on.

    No connection may be between accepted and served when they close: asyncio would forget it without closing it, and
    its client would wait for ever.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()
