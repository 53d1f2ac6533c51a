"""
`python -m tests.torture.service`: the real service, with a clock that is wound from outside, and
maybe with a point at which it ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flask import Flask

from ingest_api.__main__ import main
from ingest_api.log import log_to_stdout
from ingest_api.wsgi import serve
from tecton.settings import Settings
from tests.torture.clock import WoundClock
from tests.torture.dying import arm_from

CLOCK = "TORTURE_CLOCK"
"""Names the file of the clock's offset."""


def create() -> Flask:
    """What the server loads in its worker."""
    log_to_stdout()
    arm_from(os.environ)
    return serve(Settings.from_env(os.environ, Path.cwd()), WoundClock(Path(os.environ[CLOCK])))


if __name__ == "__main__":
    sys.exit(main("tests.torture.service:create"))
