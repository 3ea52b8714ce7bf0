"""Who may do what on a Google Cloud Storage that knows no accounts: keys, tokens, and a gate.

Knows service accounts' key files, how their tokens are asked for (RFC 7523) and how requests show
them. Does not know objects: what the gate lets through, the server before which it stands answers.
"""

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import google.auth.exceptions
import google.auth.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.fault_proxy import Answer
from servers.ports import LOOPBACK

_READS = ("GET", "HEAD")
#: For whom accounts sign, wherever their key file sends them.
_AUDIENCE = "https://oauth2.googleapis.com/token"


@dataclass
class GoogleAccounts:
    """Service accounts of one project, and what they may do to its private buckets.

    Parameters
    ----------
    public : frozenset of str
        Buckets that anybody may read.
    paid : frozenset of str
        Buckets whose readers have to name a project that pays.
    """

    public: frozenset[str] = frozenset()
    paid: frozenset[str] = frozenset()
    token_url: str = ""
    #: By each account's name: whether it may write, and its public key.
    _accounts: dict[str, tuple[bool, bytes]] = field(default_factory=dict)
    #: By each token: whether it may write.
    _tokens: dict[str, bool] = field(default_factory=dict)

    def write_key(self, file: Path, name: str, *, may_write: bool) -> None:
        """A key file as the console hands it out, of a new account."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        email = f"{name}@test.iam.gserviceaccount.com"
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._accounts[email] = (may_write, public)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        content = {
            "type": "service_account",
            "project_id": "test",
            "private_key_id": name,
            "private_key": private.decode(),
            "client_email": email,
            "token_uri": self.token_url,
        }
        file.write_text(json.dumps(content))

    def remove(self, name: str) -> None:
        """Delete an account; its key file is of no use any more."""
        del self._accounts[f"{name}@test.iam.gserviceaccount.com"]

    def token(self, *, may_write: bool) -> str:
        """A token, as somebody who logged in has it."""
        token = f"ya29.{secrets.token_hex(16)}"
        self._tokens[token] = may_write
        return token

    def token_for(self, assertion: str) -> str | None:
        """The token of the account that signed this, ``None`` if there is none."""
        email = google.auth.jwt.decode(assertion, verify=False).get("iss")
        may_write, key = self._accounts.get(email, (False, b""))
        try:
            google.auth.jwt.decode(assertion, certs=key, audience=_AUDIENCE)
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            return None
        return self.token(may_write=may_write)

    def gate(self, method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
        """A proxy's plan: an answer to who may not, ``None`` for all others."""
        url = urlsplit(target)
        bucket = url.path.partition("/b/")[2].partition("/")[0]
        if bucket in self.paid and "userProject" not in parse_qs(url.query):
            return _refusal(400, "Bucket is a requester pays bucket but no user project provided.")
        given = headers.get("authorization")
        if given is None:
            may_read = bucket in self.public and method in _READS
            return None if may_read else _refusal(401, "Anonymous caller does not have access.")
        token = given.removeprefix("Bearer ")
        if token not in self._tokens:
            return _refusal(401, "Invalid Credentials")
        if method not in _READS and not self._tokens[token]:
            return _refusal(403, "Permission denied on resource (or it may not exist).")
        return None


@contextmanager
def google_accounts(**buckets: frozenset[str]) -> Iterator[GoogleAccounts]:
    """Accounts, and a server that hands out their tokens until the block is left."""
    accounts = GoogleAccounts(**buckets)

    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked = parse_qs(self.rfile.read(length).decode())
            token = accounts.token_for(asked["assertion"][0])
            found = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
            refused = {"error": "invalid_grant", "error_description": "Invalid grant."}
            body = json.dumps(found if token else refused).encode()
            self.send_response(200 if token else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Tokens) as server:
        accounts.token_url = f"http://{LOOPBACK}:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield accounts
        finally:
            server.shutdown()
            thread.join()


def _refusal(status: int, message: str) -> Answer:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)
