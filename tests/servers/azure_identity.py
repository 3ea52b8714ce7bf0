"""The identity of an Azure machine: the server inside of it that hands out its tokens.

Knows App Service's protocol ("How to use managed identities for App Service") and what such a token
says. What signs it is nobody's: Azurite looks at all else.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from servers.ports import LOOPBACK

_TENANT = "00000000-0000-0000-0000-000000000001"


@contextmanager
def machine_identity() -> Iterator[dict[str, str]]:
    """Runs until the block is left; its value is the environment of a program on that machine."""
    header = secrets.token_hex(16)

    class Identity(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["X-IDENTITY-HEADER"] == header
            resource = parse_qs(urlsplit(self.path).query)["resource"][0]
            body = json.dumps(_token(resource) if known else {}).encode()
            self.send_response(200 if known else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Identity) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"http://{LOOPBACK}:{server.server_port}/token"
            yield {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": header}
        finally:
            server.shutdown()
            thread.join()


def _token(resource: str) -> dict[str, str]:
    now = int(time.time())
    claims = {
        "aud": resource,
        "iss": f"https://sts.windows.net/{_TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
        "oid": _TENANT,
        "tid": _TENANT,
    }
    return {
        # A JSON Web Token (RFC 7519).
        "access_token": ".".join(map(_encoded, ({"alg": "RS256", "typ": "JWT"}, claims, "nobody"))),
        "expires_on": str(claims["exp"]),
        "resource": resource,
        "token_type": "Bearer",
    }


def _encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
