"""Sending a staged file to a signed address: one PUT with its length, a block at a time."""

import os

from batuta.model.transfer import UploadItem
from batuta.runtime import mover_errors
from batuta.runtime.mover_http import Head, Link, LinkBroken, refused
from batuta.runtime.mover_jobs import Desk, Floor
from batuta.runtime.mover_request import request_bytes, target_of


def send_file(floor: Floor, item: UploadItem, desk: Desk) -> None:
    """Send one file; returns when the server has accepted all of it.

    Raises:
        ConnectorError: WRK1xx; WRK109 where the staged file is not what was recorded.
    """
    target = target_of(item.name, item.url)
    headers = (*item.headers, ("Content-Length", str(item.size_bytes)))
    request = request_bytes("PUT", target, headers, item.name)
    try:
        source = os.open(floor.staging / item.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise mover_errors.unwritable(item.name, error) from error
    host = target.origin.netloc
    try:
        link, head = _send(floor, item, (source, request), desk)
    except LinkBroken as error:
        raise mover_errors.broken(item.name, host, str(error)) from error
    finally:
        os.close(source)
    if head.status not in {200, 201, 204}:
        refusal = refused(link, head, item.name)  # it reads what the server says, before the end
        desk.links.drop(target.origin)
        raise refusal
    try:
        link.skip(head)
    except LinkBroken:
        desk.links.drop(target.origin)  # it was accepted; what else it says does not matter
    if head.closes:
        desk.links.drop(target.origin)


def _send(
    floor: Floor, item: UploadItem, source: tuple[int, bytes], desk: Desk
) -> tuple[Link, Head]:
    fd, request = source
    origin = target_of(item.name, item.url).origin
    while True:
        link = desk.links.get(origin)
        kept = link.answers > 0
        try:
            link.send(request)
            _send_body(floor, item, fd, (link, desk.block()))
            return link, link.read_head()
        except LinkBroken as error:
            early = _refusal_behind(link) if not error.fresh or not kept else None
            if early is not None:
                return link, early
            desk.links.drop(origin)
            if not (kept and error.fresh):
                raise


def _refusal_behind(link: Link) -> Head | None:
    """Return the answer of a server that refused and closed before the body was all sent."""
    try:
        head = link.read_head()
    except LinkBroken:
        return None
    return head if head.status >= 400 else None


def _send_body(floor: Floor, item: UploadItem, fd: int, way: tuple[Link, memoryview]) -> None:
    link, block = way
    at = 0
    while at < item.size_bytes:
        try:
            count = os.preadv(fd, [block[: item.size_bytes - at]], at)
        except OSError as error:
            raise mover_errors.unwritable(item.name, error) from error
        if count == 0:
            raise mover_errors.shortened(item.name)
        link.send(block[:count])
        at += count
        floor.advance(count)
