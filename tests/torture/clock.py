"""
A clock that a test winds while the service runs: the real one and an offset in a file.
"""

from __future__ import annotations

import mmap
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

_OFFSET = struct.Struct("<q")


class WoundClock:
    """Now, as one service sees it.

    Args:
        file: Holds the offset; made if it is not there.
    """

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_OFFSET.pack(0))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _OFFSET.size)

    def __call__(self) -> datetime:
        (micros,) = _OFFSET.unpack_from(self._shared)
        return datetime.now(timezone.utc) + timedelta(microseconds=micros)

    def wind(self, offset: timedelta) -> None:
        """Show the real time and *offset* from now on, in every process."""
        _OFFSET.pack_into(self._shared, 0, offset // timedelta(microseconds=1))
