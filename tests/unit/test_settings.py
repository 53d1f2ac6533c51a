"""Settings from an environment (architecture, store layout)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tecton.errors import SettingsError
from tecton.settings import Settings, find_repo


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A feature repo with a folder in it."""
    (tmp_path / ".tecton").touch()
    (tmp_path / "ads" / "deep").mkdir(parents=True)
    return tmp_path


def test_store_is_beside_the_nearest_mark(repo: Path) -> None:
    """`.tecton_store` in the folder that holds `.tecton`, searched upwards."""
    assert find_repo(repo / "ads" / "deep") == repo
    settings = Settings.from_env({}, repo / "ads" / "deep")
    assert settings.store == str(repo.resolve() / ".tecton_store")
    assert settings.is_local


def test_no_store_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    """Nothing is guessed."""
    with pytest.raises(SettingsError, match="TECTON_STORE"):
        Settings.from_env({}, tmp_path)


@pytest.mark.parametrize(
    ("told", "store", "is_local"),
    [
        ("s3://bucket/x/", "s3://bucket/x", False),
        ("dbfs:/x", "dbfs:/x", False),
        ("abfss://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net/x", False),
        ("/data/store", "/data/store", True),
    ],
)
def test_told_store_wins(repo: Path, told: str, store: str, is_local: bool) -> None:
    """A path or a URI without a trailing slash."""
    settings = Settings.from_env({"TECTON_STORE": told}, repo)
    assert settings.store == store
    assert settings.is_local is is_local


def test_relative_store_starts_at_the_folder(repo: Path) -> None:
    """As a shell's user expects."""
    settings = Settings.from_env({"TECTON_STORE": "x"}, repo / "ads")
    assert settings.store == str(repo.resolve() / "ads" / "x")


def test_every_variable_is_read(tmp_path: Path) -> None:
    """One value holds all that a process was told."""
    settings = Settings.from_env(
        {
            "TECTON_STORE": "/s",
            "TECTON_REDIS_URL": "redis://r",
            "TECTON_WRITER": "3",
            "TECTON_URL": "http://h:1/",
            "TECTON_API_KEY": "k",
            "TECTON_WORKSPACE": "w",
            "TECTON_FUTURE_TOLERANCE": "60",
            "TECTON_MAX_BODY_BYTES": "10",
            "TECTON_MAX_RECORDS": "20",
            "TECTON_MAX_QUEUED_RECORDS": "30",
            "TECTON_SPARK_MEMORY": "2g",
        },
        tmp_path,
    )
    assert settings == Settings(
        store="/s",
        redis_url="redis://r",
        writer=3,
        url="http://h:1",
        api_key="k",
        workspace="w",
        future_tolerance=timedelta(minutes=1),
        max_body_bytes=10,
        max_records=20,
        max_queued_records=30,
        spark_memory="2g",
    )


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "١", " 1"])
def test_number_that_is_none(tmp_path: Path, text: str) -> None:
    """The message names the variable and what it says."""
    with pytest.raises(SettingsError, match="TECTON_WRITER must be a whole number"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_WRITER": text}, tmp_path)


def test_empty_variable_is_one_that_is_not_set(repo: Path) -> None:
    """`TECTON_WRITER= command` means the default."""
    names = ("STORE", "WRITER", "URL", "REDIS_URL", "API_KEY", "WORKSPACE", "SPARK_MEMORY")
    empty = {f"TECTON_{name}": "" for name in names}
    assert Settings.from_env(empty, repo) == Settings.from_env({}, repo)


def test_other_processes_find_the_same_stores() -> None:
    """What a job is given leads it to this process's stores."""
    settings = Settings(store="/s", redis_url="redis://r")
    assert Settings.from_env(settings.environ(), Path("/")) == settings
