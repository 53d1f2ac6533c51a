"""Settings from an environment (architecture, store layout)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tecton.errors import SettingsError
from tecton.schema import RecordLimits
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


def test_no_store_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    """Nothing is guessed."""
    with pytest.raises(SettingsError, match="TECTON_STORE"):
        Settings.from_env({}, tmp_path)


@pytest.mark.parametrize(
    ("told", "store"),
    [
        ("s3://bucket/x/", "s3://bucket/x"),
        ("s3a://bucket", "s3a://bucket"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("az://container/x", "az://container/x"),
        ("abfs://c@a.dfs.core.windows.net/x", "abfs://c@a.dfs.core.windows.net/x"),
        ("abfss://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net/x"),
        ("dbfs:/x", "dbfs:/x"),
        ("/data/store", "/data/store"),
        ("/data/a:b", "/data/a:b"),
        ("file:///data/my%20store/", "/data/my store"),
        ("file://localhost/data", "/data"),
    ],
)
def test_told_store_wins(repo: Path, told: str, store: str) -> None:
    """A path, which `file://` names too, or a URI without a trailing slash."""
    assert Settings.from_env({"TECTON_STORE": told}, repo).store == store


@pytest.mark.parametrize(
    "told",
    [
        "ftp://host/x",
        "https://bucket.s3.amazonaws.com/x",
        "s3n://bucket/x",
        "S3://bucket/x",
        "s3:/bucket/x",
        "s3:bucket",
        "s3://",
        "s3:///x",
        "s3://[x",
        "dbfs:x",
        "file:x",
        "file://host/x",
        "garbage:x",
        "data\udcff",
        "/data/a%20b",
        "file:///data/a%2520b",
        "/data/a\nb",
        "/data/a\0",
    ],
)
def test_store_that_cannot_be_opened(repo: Path, told: str) -> None:
    """What is neither a folder nor a known kind of URI is never taken for a folder's name."""
    with pytest.raises(SettingsError, match=r"TECTON_STORE must be .*s3://.*dbfs:/") as error:
        Settings.from_env({"TECTON_STORE": told}, repo)
    assert "\n" not in str(error.value)


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
            "TECTON_MAX_SOURCES": "21",
            "TECTON_MAX_NESTING": "22",
            "TECTON_MAX_KEY_BYTES": "23",
            "TECTON_MAX_STRING_BYTES": "24",
            "TECTON_MAX_QUEUED_RECORDS": "30",
            "TECTON_BATCH_ROOTS": "/data, s3://b/x",
            "TECTON_SPARK_MEMORY": "2g",
            "TECTON_SPARK_PACKAGES": "a.b:c-d:1.0,e:f:2",
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
        max_sources=21,
        max_nesting=22,
        max_key_bytes=23,
        max_string_bytes=24,
        max_queued_records=30,
        batch_roots=("/data", "s3://b/x"),
        spark_memory="2g",
        spark_packages="a.b:c-d:1.0,e:f:2",
    )


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "١", " 1", "9" * 5000, "a\nb", "\udcff"])
def test_number_that_is_none(tmp_path: Path, text: str) -> None:
    """The message names the variable and what it says, in one line."""
    with pytest.raises(SettingsError, match="TECTON_WRITER must be a whole number") as error:
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_WRITER": text}, tmp_path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("variable", "attribute", "lowest", "highest"),
    [
        ("WRITER", "writer", 0, 9_999),
        ("FUTURE_TOLERANCE", "future_tolerance", 0, 31_536_000),
        ("MAX_BODY_BYTES", "max_body_bytes", 1, 1_073_741_824),
        ("MAX_RECORDS", "max_records", 1, 1_000_000),
        ("MAX_SOURCES", "max_sources", 1, 10_000),
        ("MAX_NESTING", "max_nesting", 6, 500),
        ("MAX_KEY_BYTES", "max_key_bytes", 16, 8_192),
        ("MAX_STRING_BYTES", "max_string_bytes", 16, 16_777_216),
        ("MAX_QUEUED_RECORDS", "max_queued_records", 1, 10_000_000),
        ("REQUESTS_PER_SECOND", "requests_per_second", 0, 1_000_000_000),
        ("RECORDS_PER_SECOND", "records_per_second", 0, 1_000_000_000),
    ],
)
def test_numbers_have_bounds(
    tmp_path: Path, variable: str, attribute: str, lowest: int, highest: int
) -> None:
    """What is outside them is refused with the bounds, not met later as a crash."""

    def told(number: int) -> Settings:
        environ = {"TECTON_STORE": "/s", f"TECTON_{variable}": str(number)}
        return Settings.from_env(environ, tmp_path)

    for number in (lowest, highest):
        value = getattr(told(number), attribute)
        assert number == (value.total_seconds() if isinstance(value, timedelta) else value)
    for number in (lowest - 1, highest + 1, 99999999999999999999999):
        with pytest.raises(SettingsError, match=f"TECTON_{variable} .*{lowest} to {highest}"):
            told(number)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://user:secret@h:6380/2",
        "rediss://h:1",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:6379",
        "redis+cluster://h",
        "rediss+cluster://user:secret@h:7000,h:7001,[::1]:7002/?ssl_ca_certs=/ca.pem",
    ],
)
def test_redis_url(tmp_path: Path, url: str) -> None:
    """The kinds of URL that a Redis client understands."""
    environ = {"TECTON_STORE": "/s", "TECTON_REDIS_URL": url}
    assert Settings.from_env(environ, tmp_path).redis_url == url


@pytest.mark.parametrize(
    "url",
    [
        "garbage",
        ":secret@h",
        "http://:secret@h",
        "redis:/:secret@h",
        "Redis://:secret@h",
        "redis://[:secret@h",
        "redis://:secret@h:port",
        "redis://:secret@h:66666",
        "unix://",
        "unix://secret",
        "redis://h\udcff",
        "redis+cluster://",
        "redis+cluster://:secret@a,,b",
        "redis+cluster://:secret@a:1,b:secret",
        "unix+cluster:///secret",
        "redis://:secret@a:1,b:2",
    ],
)
def test_redis_url_that_is_none(tmp_path: Path, url: str) -> None:
    """The message names the kinds, and never shows a password."""
    with pytest.raises(SettingsError, match="TECTON_REDIS_URL must be redis://") as error:
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_REDIS_URL": url}, tmp_path)
    assert "rediss://" in str(error.value)
    assert "unix://" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://h", "http://", "http://[x", "http://h:x", "http://a b"]
)
def test_url_that_is_none(tmp_path: Path, url: str) -> None:
    """Clients speak HTTP."""
    with pytest.raises(SettingsError, match=r"TECTON_URL must be http:// or https://"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_URL": url}, tmp_path)


@pytest.mark.parametrize(
    "text", ["data", "./data", "http://h/x", "/a,", "/a,,/b", "/a/../b", "s3://b/*", "s3://u:p@b/x"]
)
def test_batch_root_that_is_none(tmp_path: Path, text: str) -> None:
    """A root that is spelled wrongly must not become one that holds everything."""
    with pytest.raises(SettingsError, match=r"TECTON_BATCH_ROOTS must be a list, separated by"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_BATCH_ROOTS": text}, tmp_path)


@pytest.mark.parametrize("text", ["hadoop-aws", "a:b", "a:b:1, c:d:2", "a:b:1,", "-a b:c:d"])
def test_spark_packages_that_are_none(tmp_path: Path, text: str) -> None:
    """They stand in a command line."""
    with pytest.raises(SettingsError, match="TECTON_SPARK_PACKAGES must be Maven coordinates"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_SPARK_PACKAGES": text}, tmp_path)


@pytest.mark.parametrize("text", ["1", "1gb", "g", "0g", "-1g", "1 g", "1.5g", "1g --x", "x"])
def test_spark_memory_that_is_none(tmp_path: Path, text: str) -> None:
    """A whole number with the unit that Java wants."""
    with pytest.raises(SettingsError, match=r"TECTON_SPARK_MEMORY must be .* as 512m or 2g"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_SPARK_MEMORY": text}, tmp_path)


def test_secret_is_never_shown(tmp_path: Path) -> None:
    """An API key that is no text is refused without being printed."""
    with pytest.raises(SettingsError, match="TECTON_API_KEY must be UTF-8;"):
        Settings.from_env({"TECTON_STORE": "/s", "TECTON_API_KEY": "secret\udcff"}, tmp_path)


def test_empty_variable_is_one_that_is_not_set(repo: Path) -> None:
    """`TECTON_WRITER= command` means the default."""
    names = ("STORE", "WRITER", "URL", "REDIS_URL", "API_KEY", "WORKSPACE", "SPARK_MEMORY")
    empty = {f"TECTON_{name}": "" for name in names}
    assert Settings.from_env(empty, repo) == Settings.from_env({}, repo)


def test_other_processes_find_the_same_stores() -> None:
    """What a job is given leads it to this process's stores."""
    settings = Settings(store="/s", redis_url="redis://r")
    assert Settings.from_env(settings.environ(), Path("/")) == settings


def test_other_processes_keep_the_same_rules() -> None:
    """A job leaves out the join keys that the service refuses."""
    settings = Settings(store="/s", max_key_bytes=100, batch_roots=("/d", "dbfs:/x"))
    assert Settings.from_env(settings.environ(), Path("/")) == settings


def test_defaults_are_those_of_the_contract() -> None:
    """Settings know no other module; what they repeat is the same."""
    assert (Settings.max_key_bytes, Settings.max_string_bytes) == RecordLimits()
