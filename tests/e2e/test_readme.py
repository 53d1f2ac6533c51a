"""
The README's own commands, from an empty store to a feature that is read back.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from demo import data
from demo.console import Console
from demo.stage import Stage, fresh_stage

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
CHAPTER = README.partition("## Send an event")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", CHAPTER, re.M | re.S)
SECONDS = 60


def blocks(language: str) -> list[str]:
    """The code of the chapter in one language, in order."""
    return [code for name, code in BLOCKS if name == language]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A copy of the feature repo with its batch files, a fresh store and an own Redis."""
    with fresh_stage(Console()) as stage:
        data.write(datetime.now(timezone.utc), stage.repo)
        yield stage


@pytest.mark.spark
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's requests are curl's")
def test_readme_commands_give_the_readme_answers(stage: Stage) -> None:
    """Whoever types what stands there sees what stands there."""
    setup, *requests = blocks("bash")
    api_key = define(stage, setup)
    with stage.service() as url:
        here = [request.replace("http://127.0.0.1:8080", url) for request in requests]
        answers = [curl(request, api_key) for request in here]
    assert [json.loads(block) for block in blocks("json")] == answers


def define(stage: Stage, setup: str) -> str:
    """Run the `tecton` commands of the chapter; returns the API key that one of them printed."""
    printed = ""
    for line in setup.splitlines():
        if line.startswith("tecton "):
            account = re.search(r"Service Account ID: (\S+)", printed)
            told = line.replace("<its id>", account.group(1)) if account else line
            printed += stage.tecton(*shlex.split(told, comments=True)[1:])
    key = re.search(r"API Key: (\S+)", printed)
    assert key is not None
    return key.group(1)


def curl(command: str, api_key: str) -> object:
    """What one of the chapter's requests is answered, parsed."""
    done = subprocess.run(
        ["bash", "-c", command],
        env={"TECTON_API_KEY": api_key, "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return json.loads(done.stdout)
