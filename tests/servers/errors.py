"""The two ways a test server can let the tests down.

Knows nothing about any server; it exists so that every server module can raise the same two types.
"""


class ServerUnavailable(Exception):
    """The server is not installed here. The text is one line, ending in the command that helps."""


class ServerStartError(Exception):
    """The server is installed but did not come up. The text ends with the tail of its log."""
