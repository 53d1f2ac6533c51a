"""
A disk that can be filled: a small one of its own, or else a bound on what processes may write.
"""

from __future__ import annotations

import errno
import resource
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

LEAST_BYTES = 300
"""What a file may still have where there is no disk of our own: no commit fits."""

_CHUNK = bytes(2**16)
_TIMEOUT = 10


class Disk:
    """Where a store lies.

    Args:
        folder: Where it shall be mounted.
        size: In bytes; None: it is never filled, and an ordinary folder will do.
    """

    def __init__(self, folder: Path, size: int | None) -> None:
        self.folder = folder
        folder.mkdir()
        self.is_mounted = size is not None and _run(
            "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)
        )

    def fill(self, processes: Iterable[psutil.Process], spare: int) -> None:
        """
        Leave no room.

        Args:
            processes: What writes there.
            spare: So many bytes stay free, if the disk is one of our own.
        """
        if not self.is_mounted:
            _limit(processes, LEAST_BYTES)
            return
        filler = self._filler
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(_CHUNK):
                    pass
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
            file.truncate(max(0, file.tell() - spare))

    def free(self, processes: Iterable[psutil.Process]) -> None:
        """Make room again."""
        if self.is_mounted:
            self._filler.unlink(missing_ok=True)
        else:
            _limit(processes, resource.RLIM_INFINITY)

    def close(self, is_kept: bool) -> None:
        """Take the disk away; its content stays if it is wanted."""
        if not self.is_mounted:
            return
        if is_kept:
            self._filler.unlink(missing_ok=True)
            shutil.copytree(self.folder, self.folder.with_name("kept"))
        _run("umount", "-l", str(self.folder))

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


def _limit(processes: Iterable[psutil.Process], size: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.rlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
