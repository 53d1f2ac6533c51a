"""
A process that runs transformations: `python -m tecton.functions.worker`.

It reads requests from standard input until that closes, so it ends with whoever started it. A
record that takes too long ends the process, by a signal that no code of the function can hold up.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from tecton.functions.calling import CANNOT_LOAD, Caller
from tecton.functions.loading import CannotLoad
from tecton.functions.transformation import Failure, Transformation

LENGTH = struct.Struct("<Q")
"""Before each message: how many bytes it has."""


class Request(msgspec.Struct, array_like=True):
    """What the process is asked for.

    Args:
        number: Of the transformation, for as long as the process lives.
        seconds: That one record may take.
        records: Canonical values by column.
        transformation: Given with its first request.
        loading: Seconds that running its text may take.
    """

    number: int
    seconds: float
    records: Sequence[dict[str, Any]]
    transformation: Transformation | None = None
    loading: float = 0.0


Reply = list[list[list[Any]] | Failure] | str
"""For each record its rows, each the timestamp and then the values, or what went wrong with it; a
text if the function cannot be loaded."""

encode = msgspec.msgpack.encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def framed(message: object) -> bytes:
    """A message as it is sent."""
    body = encode(message)
    return LENGTH.pack(len(body)) + body


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer requests until there are no more."""
    callers: dict[int, Caller | str] = {}
    while head := incoming.read(LENGTH.size):
        request = decode_request(incoming.read(LENGTH.unpack(head)[0]))
        if request.transformation is not None:
            callers[request.number] = _load(request.transformation, request.loading)
        caller = callers[request.number]
        reply: Reply
        if isinstance(caller, str):
            reply = caller
        else:
            reply = [_call(caller, one, request.seconds) for one in request.records]
        outgoing.write(framed(reply))
        outgoing.flush()


def _load(transformation: Transformation, seconds: float) -> Caller | str:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if transformation.function.mode == "pandas":
            # Once and in the time for loading, not in that of the first record.
            import tecton.functions.frames  # noqa: F401
        return Caller(transformation)
    except CannotLoad as exc:
        return f"{CANNOT_LOAD}: {exc}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _call(caller: Caller, record: dict[str, Any], seconds: float) -> list[list[Any]] | Failure:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    outcome = caller.one(record)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if isinstance(outcome, Failure):
        return outcome
    return [[row.timestamp, *row.values] for row in outcome]


def main() -> None:
    """Serve on standard input and output, which the function never sees."""
    # The alarm's own action: the kernel ends the process, whoever holds the interpreter's lock.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # Whoever stops the service by Ctrl-C stops this by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    serve(incoming, outgoing)


if __name__ == "__main__":
    main()
    sys.exit(0)
