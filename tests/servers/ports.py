"""Picks loopback ports for servers, none of them twice in a process.

The package remembers for each endpoint what the service does not support and how many requests it
takes. A server on the port of an earlier one would be treated like it.

Knows which ports are free and keeps several test runs on one machine apart.
Does not know what is going to listen on them.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from servers.errors import ServerStartError

LOOPBACK = "127.0.0.1"

_BACKLOG = 1024

BLOCK_SIZE = 9
"""Usable ports in a block. The tenth is the claim, see `port_block`."""

TWIN_OFFSET = 10_000
"""SeaweedFS answers gRPC on each of its ports plus this."""

# Both the blocks and their twins stay below 32768, where Linux starts to hand out ports to outgoing
# connections: nothing then takes a port between the check and the start of the server by chance.
BLOCK_STARTS = range(12_000, 22_000, BLOCK_SIZE + 1)

_used: set[int] = set()
"""Ports of earlier servers, and the first ports of earlier blocks."""


def listener(host: str = LOOPBACK) -> socket.socket:
    """A listening socket on a port that no earlier server of this process had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as unsuitable:
        while True:
            # asyncio sets TCP_NODELAY only where the protocol is named.
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listening.bind((host, 0))
            listening.listen(_BACKLOG)
            port = listening.getsockname()[1]
            if port not in _used:
                _used.add(port)
                return listening
            # Kept until the end, so that the system returns another port.
            unsuitable.enter_context(closing(listening))


@contextmanager
def port_block(starts: range = BLOCK_STARTS) -> Iterator[int]:
    """The first of nine free ports in a row whose twins are free too, ours until the end.

    A bind check alone would let two test runs pick the same block in the same instant. So the
    tenth port is bound for as long as the block is in use, and whoever fails to bind it goes
    elsewhere. The claim vanishes with its process, however that ends.
    """
    # Not the module-level generator: tests may have seeded it, and must not find it disturbed.
    unused = [start for start in starts if start not in _used]
    for start in random.SystemRandom().sample(unused, len(unused)):
        with socket.socket() as claim:
            try:
                claim.bind((LOOPBACK, start + BLOCK_SIZE))
            except OSError:
                continue
            if all(_is_free(port) for port in ports_of(start)):
                _used.add(start)
                yield start
                return
    raise ServerStartError("no block of free loopback ports is left")


def ports_of(start: int) -> list[int]:
    """Every port that belongs to the block, twins included."""
    block = range(start, start + BLOCK_SIZE)
    return [*block, *(port + TWIN_OFFSET for port in block)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # The servers listen this way as well, so the rest of a closed connection is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
