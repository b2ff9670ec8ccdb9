"""An HTTP proxy that misbehaves on demand, for any server spoken to without TLS.

Clients are given its address in place of the server's. Bytes pass unchanged in both directions,
the Host header included, since S3 signs it. A rule makes the requests it matches fail:

    with FaultProxy.before(server.endpoint) as proxy:
        proxy.add(Rule("^PUT /bucket/", status=503, headers={"Retry-After": "1"}, times=3))
        ...
        assert [each.status for each in proxy.exchanges] == [503, 503, 503, 200]
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
PIECE = 1 << 16
HEAD_LIMIT = 1 << 18


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do to the requests whose `METHOD target` the pattern is found in.

    Attributes:
        match: Regular expression, searched for in, for example, `GET /bucket/key?versionId=1`.
        times: How many requests it applies to; None is all of them.
        after: How many matching requests pass first.
        delay_s: Wait so long before anything else.
        status: Answer this instead of asking the server.
        headers: Sent with `status`.
        body: Sent with `status`.
        lose_answer: Let the server do its work, then end the connection without a word.
        cut_after_bytes: End the connection after so many bytes of the server's answer's body.
    """

    match: str
    times: int | None = 1
    after: int = 0
    delay_s: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lose_answer: bool = False
    cut_after_bytes: int | None = None


@dataclass(slots=True)
class Exchange:
    """One request, from the moment it came; the last two are filled in before each byte goes back."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    rule: Rule | None
    status: int | None = None  # None as long as no answer was sent back
    body_bytes: int = 0  # of the answer, as far as sent


@dataclass(frozen=True, slots=True)
class _Head:
    raw: bytes
    first: tuple[str, str, str]
    headers: Mapping[str, str]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Self:
        raw = await reader.readuntil(b"\r\n\r\n")
        start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        one, two, three = (*start.split(" ", 2), "", "")[:3]
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return cls(raw, (one, two, three), headers)

    @property
    def is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def closes(self) -> bool:
        """Whether the connection ends after this message."""
        says = self.headers.get("connection", "").lower()
        framed = self.is_chunked or "content-length" in self.headers
        return says == "close" or self.first[0] == "HTTP/1.0" or not (framed or self.is_bare)

    @property
    def is_bare(self) -> bool:
        """Whether no length means no body: so it is in requests and in answers such as 204."""
        return self.first[1] in {"204", "304"} or not self.first[0].startswith("HTTP/")


class FaultProxy:
    """The proxy; it runs in a thread of its own and is set from the test's thread."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._lock = threading.Lock()
        self._rules: list[tuple[Rule, int]] = []  # with the number of requests matched so far
        self._exchanges: list[Exchange] = []
        self._up = threading.Event()
        self._down: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.endpoint = ""

    @classmethod
    @contextlib.contextmanager
    def before(cls, endpoint: str) -> Iterator[Self]:
        """Run a proxy before the server at `endpoint`, an `http://host:port`."""
        parts = urlsplit(endpoint)
        proxy = cls(parts.hostname or LOOPBACK, parts.port or 80)
        thread = threading.Thread(target=lambda: asyncio.run(proxy._serve()), name="fault proxy")
        thread.start()
        proxy._up.wait()
        try:
            yield proxy
        finally:
            proxy._loop.call_soon_threadsafe(proxy._down.set)
            thread.join()

    def add(self, *rules: Rule) -> None:
        """Add rules; the first that matches and is not used up applies."""
        with self._lock:
            self._rules += [(rule, 0) for rule in rules]

    def clear(self) -> None:
        """Forget all rules and all exchanges."""
        with self._lock:
            self._rules.clear()
            self._exchanges.clear()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What came by, in the order in which it came."""
        with self._lock:
            return tuple(self._exchanges)

    def _rule_for(self, method: str, target: str) -> Rule | None:
        with self._lock:
            for index, (rule, seen) in enumerate(self._rules):
                if re.search(rule.match, f"{method} {target}"):
                    self._rules[index] = (rule, seen + 1)
                    used = seen - rule.after
                    if used >= 0 and (rule.times is None or used < rule.times):
                        return rule
        return None

    async def _serve(self) -> None:
        self._loop, self._down = asyncio.get_running_loop(), asyncio.Event()
        open_connections: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer))
            open_connections.add(task)
            task.add_done_callback(open_connections.discard)

        listener = await asyncio.start_server(accept, LOOPBACK, 0, limit=HEAD_LIMIT)
        self.endpoint = f"http://{LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
        self._up.set()
        await self._down.wait()
        listener.close()
        for task in list(open_connections):
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)

    async def _connection(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        back.transport.set_write_buffer_limits(0)  # so that `drain` means "sent"
        gone = (ConnectionError, asyncio.IncompleteReadError)
        with contextlib.suppress(*gone):
            async with _closing(back):
                server, on = await asyncio.open_connection(*self._server, limit=HEAD_LIMIT)
                async with _closing(on):
                    while await self._exchange(_Pipe(client, on), _Pipe(server, back)):
                        pass

    async def _exchange(self, there: "_Pipe", back: "_Pipe") -> bool:
        """Pass one request and its answer; return whether the connection stays open."""
        request = await _Head.read(there.source)
        method, target, _ = request.first
        rule = self._rule_for(method, target)
        back.exchange = Exchange(method, target, request.headers, rule)
        with self._lock:
            self._exchanges.append(back.exchange)
        if rule is not None and rule.delay_s:
            await asyncio.sleep(rule.delay_s)
        if rule is not None and rule.status is not None:
            if "expect" not in request.headers:
                await _Pipe(there.source, None).body(request)
            await back.answer(rule, rule.status, with_body=method != "HEAD")
            return False
        return await _forward(request, rule, there, back) and not request.closes


async def _forward(request: _Head, rule: Rule | None, there: "_Pipe", back: "_Pipe") -> bool:
    await there.write(request.raw)
    upload = asyncio.create_task(there.body(request))
    try:
        answer = await _Head.read(back.source)
        while answer.first[1].startswith("1"):  # 100 Continue: the client is waiting for it
            await back.write(answer.raw)
            answer = await _Head.read(back.source)
        if rule is not None and rule.lose_answer:
            back.end()
            return False
        await back.head(answer.raw, int(answer.first[1]))
        if request.first[0] != "HEAD" and not answer.is_bare:
            back.left = None if rule is None else rule.cut_after_bytes
            await back.body(answer, until_close=True)
        return upload.done() and not answer.closes
    finally:
        upload.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, EOFError):
            await upload


class _Pipe:
    """Bytes from one side to the other; `left` is how many body bytes may still pass."""

    def __init__(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter | None) -> None:
        self.source, self.sink = source, sink
        self.left: int | None = None
        self.exchange: Exchange | None = None

    async def body(self, head: _Head, *, until_close: bool = False) -> None:
        length = head.headers.get("content-length")
        if head.is_chunked:
            await self._chunks()
        elif length is not None:
            await self._copy(int(length))
        elif until_close:
            while piece := await self.source.read(PIECE):
                await self.write(piece, is_body=True)

    async def _chunks(self) -> None:
        while True:
            line = await self.source.readuntil(b"\r\n")
            await self.write(line)
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            await self._copy(size)
            await self.write(await self.source.readexactly(2))
        while (trailer := await self.source.readuntil(b"\r\n")) != b"\r\n":
            await self.write(trailer)
        await self.write(trailer)

    async def _copy(self, count: int) -> None:
        while count:
            piece = await self.source.read(min(PIECE, count))
            if not piece:
                raise ConnectionResetError("ended in mid-body")
            count -= len(piece)
            await self.write(piece, is_body=True)

    async def write(self, piece: bytes, *, is_body: bool = False) -> None:
        if self.sink is None:
            return
        cut = is_body and self.left is not None and self.left < len(piece)
        if is_body:
            piece = piece[: self.left]
            self.left = None if self.left is None else self.left - len(piece)
            if self.exchange is not None:
                self.exchange.body_bytes += len(piece)
        self.sink.write(piece)
        await self.sink.drain()
        if cut:
            self.end()
            raise ConnectionResetError("cut by a rule")

    async def head(self, raw: bytes, status: int) -> None:
        if self.exchange is not None:
            self.exchange.status = status
        await self.write(raw)

    async def answer(self, rule: Rule, status: int, *, with_body: bool) -> None:
        reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Fault"
        own = {"Content-Length": str(len(rule.body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in {**own, **rule.headers}.items()]
        await self.head(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), status)
        if with_body:
            await self.write(rule.body, is_body=True)

    def end(self) -> None:
        # Not a TCP reset: that would also take back bytes that the client has not read yet.
        if self.sink is not None:
            self.sink.transport.abort()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
