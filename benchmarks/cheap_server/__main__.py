"""Run the server: `python -m benchmarks.cheap_server --port 9000`."""

from __future__ import annotations

import argparse
import ssl

from benchmarks.cheap_server.connections import serve
from benchmarks.cheap_server.objects import Objects


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cheap_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--certificate", help="file with the certificate chain (PEM)")
    parser.add_argument("--key", help="file with the private key (PEM)")
    given = parser.parse_args()
    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
    serve(given.port, Objects(), threads=given.threads, context=context)


if __name__ == "__main__":
    main()
