"""Ends servers of asyncio so that no connection is forgotten."""

import asyncio


async def stop_accepting(server: asyncio.Server) -> None:
    """Closes `server` when each connection it has accepted has its transport.

    A transport cannot be made for a closed server (`Server._attach`): asyncio then forgets the
    connection, which stays open until the garbage collector finds it, in another test.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening)
    await asyncio.sleep(0)
    server.close()
