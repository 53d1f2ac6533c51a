"""
Which processes a test has left running.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def running_in(temp_folder: Path) -> list[str]:
    """The commands of processes that were started with `TMPDIR` set to this folder."""
    return [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["environ"] or {}).get("TMPDIR") == str(temp_folder)
        and process.pid != os.getpid()
    ]
