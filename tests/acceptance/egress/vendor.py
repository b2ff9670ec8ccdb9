"""What a vendor gives keys by: roles for keys that somebody has, and an instance's metadata.

It speaks AssumeRole of STS (XML) and version 2 of the metadata service, refuses what it does not
know, and gives the keys that it was made with. `asked` is what was asked for, in order.
"""

import json
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

BASE = "AKIDBASE"
TOKEN = "a token of the metadata service"
SESSION = ""  # the tests' S3 server takes keys of its own alone, which have no session
_UNTIL = "2099-01-01T00:00:00Z"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>{arn}/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{session}</SessionToken><Expiration>{until}</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""

_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>AccessDenied</Code><Message>The role may not be assumed.</Message></Error>
</ErrorResponse>"""


class Refused(str):
    """An answer that says no."""

    __slots__ = ()


class Vendor:
    """A server on loopback, for as long as it is entered."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.asked: list[str] = []
        self._keys = (access_key, secret_key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The same as a URL."""
        return f"http://127.0.0.1:{self.address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Message, body: str) -> Any:
        """Return what is said to a request: XML, text or a document; None where it is refused."""
        key, secret = self._keys
        if (method, path) == ("POST", "/"):
            form = {name: values[0] for name, values in parse_qs(body).items()}
            signed = headers.get("Authorization", "")
            if form.get("Action") != "AssumeRole" or f"Credential={BASE}/" not in signed:
                return None
            if form["RoleArn"].endswith("/closed"):
                return Refused(_DENIED)
            self.asked.append("AssumeRole")
            return _ANSWER.format(
                arn=form["RoleArn"], key=key, secret=secret, session=SESSION, until=_UNTIL
            )
        if (method, path) == ("PUT", "/latest/api/token"):
            self.asked.append("token")
            return TOKEN
        if method != "GET" or headers.get("x-aws-ec2-metadata-token") != TOKEN:
            return None
        self.asked.append(path)
        if path == _ROLES:
            return "lake"
        kept = {"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret}
        given = {**kept, "Token": SESSION, "Expiration": _UNTIL}
        return json.dumps(given) if path == f"{_ROLES}lake" else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                said = vendor.answer(self.command, self.path, self.headers, body)
                content = ("refused" if said is None else said).encode()
                self.send_response(403 if said is None or isinstance(said, Refused) else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        return Handler
