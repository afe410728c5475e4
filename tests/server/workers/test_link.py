"""The link: frames arrive whole, in order and with their descriptors, and an end that is gone is noticed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from server.workers.link import MOST_AT_ONCE, Frame, Link, LinkClosed, Subject, pair


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = pair()
    with here, there:
        yield here, there


def described(text: bytes) -> int:
    """A descriptor that can be told by what it holds."""
    fd = os.memfd_create("test")
    os.write(fd, text)
    return fd


def held(fd: int) -> bytes:
    return os.pread(fd, 100, 0)


def test_frames_arrive_in_order_and_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = map(Link, ends)
    sent = [Frame(Subject.WAKE), Frame(Subject.METRICS, b"x" * 3_000_000), Frame(Subject.APPLIED, b"7")]
    sender = threading.Thread(target=lambda: [here.send(frame) for frame in sent])
    sender.start()
    assert [there.receive() for _ in sent] == sent
    sender.join()


@pytest.mark.parametrize("count", [1, MOST_AT_ONCE, MOST_AT_ONCE + 1, 2 * MOST_AT_ONCE + 50])
def test_descriptors_arrive_with_their_frame_and_in_order(
    ends: tuple[socket.socket, socket.socket], count: int
) -> None:
    here, there = map(Link, ends)
    fds = tuple(described(b"%d" % number) for number in range(count))
    sent = [Frame(Subject.BASE, b"manifest", fds), Frame(Subject.WAKE)]
    sender = threading.Thread(target=lambda: [here.send(frame) for frame in sent])
    sender.start()
    found, after = there.receive(), there.receive()
    sender.join()
    assert found is not None
    assert (found.subject, found.body, after) == (Subject.BASE, b"manifest", Frame(Subject.WAKE))
    assert [held(fd) for fd in found.fds] == [b"%d" % number for number in range(count)]
    assert not any(os.get_inheritable(fd) for fd in found.fds)
    for frame in (sent[0], found):
        frame.close()
    with pytest.raises(OSError, match="descriptor"):
        held(fds[0])


def test_an_end_that_is_gone_is_noticed_on_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = map(Link, ends)
    there.close()
    assert here.receive() is None
    with pytest.raises(LinkClosed):
        here.send(Frame(Subject.WAKE))


@pytest.mark.parametrize("kept", range(1, 7))
def test_half_a_frame_is_no_frame(ends: tuple[socket.socket, socket.socket], kept: int) -> None:
    ends[1].sendall(b"\x03\x00\x00\x00\x00\x00\x05"[:kept])
    ends[1].close()
    assert Link(ends[0]).receive() is None
