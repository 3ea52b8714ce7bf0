"""Python blocks of a page, one after the other in one process, as somebody would paste them.

Each as often as the second argument says, as cells of a notebook are run again. Reads a JSON list
of line and block from standard input; prints one of line and what it printed each time.
Knows nothing but Python.
"""

import contextlib
import io
import json
import linecache
import sys


def main(page: str, times: int) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    printed = []
    for line, block in json.load(sys.stdin):
        # As far down as on the page, so that a traceback points there.
        program = "\n" * (line - 1) + block
        linecache.cache[page] = (len(program), None, program.splitlines(keepends=True), page)
        for _ in range(times):
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(program, page, "exec"), names)
            printed.append((line, output.getvalue()))
    json.dump(printed, sys.stdout)


# Spawned processes find no file of this name, nor do they need one.
if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
