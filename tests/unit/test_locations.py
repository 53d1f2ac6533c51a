"""Where batch data may be (issue 4, names and paths)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton.locations import for_files, for_objects, for_spark, holds, is_inside, refusal


@pytest.mark.parametrize(
    "uri",
    [
        "/data/x",
        "/data/a:b/it's [1].parquet",
        "/data/part-*.parquet",
        "file:///data/x",
        "file:/data/x",
        "file://localhost/data/x",
        "s3://bucket/x",
        "s3://bucket",
        "s3a://bucket/x/*.parquet",
        "gs://bucket/x",
        "abfss://container@account.dfs.core.windows.net/x",
        "abfs://container@account/x",
        "az://container/x",
        "wasbs://container@account/x",
        "hdfs://namenode/x",
        "dbfs:/x",
        "dbfs:///x",
    ],
)
def test_known_places_are_taken(uri: str) -> None:
    """Paths, and the URIs that clusters read."""
    assert refusal(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/x",
        "https://bucket.s3.amazonaws.com/x",
        "ftp://host/x",
        "jdbc:postgresql://host/db",
        "jar:file:/x!/y",
        "data:text/plain,x",
        "S3://bucket/x",
        "s3n://bucket/x",
        "s3:/bucket/x",
        "s3:bucket",
        "s3://",
        "s3:///x",
        "file:x",
        "file://host/x",
        "file:////host/x",
        "dbfs:x",
        "C:/data",
        "a:b.parquet",
    ],
)
def test_other_places_are_refused_with_the_reason(uri: str) -> None:
    """One sentence that names what is taken."""
    reason = refusal(uri)
    assert reason is not None
    assert "s3://" in reason
    assert "dbfs:/" in reason


@pytest.mark.parametrize("roots", [[], ["/data"]])
@pytest.mark.parametrize(
    "uri",
    [
        *("/a\0", "/a\nb", "s3://b/\x1b[31m", "/a\x7f", "/data/\ud800", "/data/\udcff"),
        *("file:///data/%00", "file:///data/%0Ax", "s3://b/%1b[31m"),
    ],
)
def test_control_characters_are_refused(uri: str, roots: list[str]) -> None:
    """They break lines, logs and calls of the file system, encoded too."""
    reason = refusal(uri, roots)
    assert reason == "holds a control character or bytes that are no text; rename the file"


@pytest.mark.parametrize("uri", ["s3://KEY:SECRET@bucket/x", "hdfs://user:pw@host/x"])
def test_password_in_a_uri_is_refused(uri: str) -> None:
    """The registry keeps every version for ever; the reason does not repeat it."""
    reason = refusal(uri)
    assert reason is not None
    assert "password" in reason
    assert "SECRET" not in reason


@pytest.mark.parametrize(
    ("uri", "root", "inside"),
    [
        ("s3://b/x/y", "s3://b/x", True),
        ("s3://b/x", "s3://b/x", True),
        ("s3://b/x/", "s3://b/x/", True),
        ("s3://b/x", "s3://b", True),
        ("s3://b/xy", "s3://b/x", False),
        ("s3://bb/x", "s3://b", False),
        ("s3a://b/x", "s3://b/x", False),
        ("s3://b/x/../y", "s3://b/x", False),
        ("s3://b/x/%2e%2e/y", "s3://b/x", False),
        ("s3://b/x/%2E./y", "s3://b/x", False),
        ("s3://b/x/{a,../../y}", "s3://b/x", False),
        ("s3://b/x/{a,..}/y", "s3://b/x", False),
        ("s3://b/x/\\../y", "s3://b/x", False),
        ("s3://b/./x/y", "s3://b/x", False),
        ("s3://b/x/part-*", "s3://b/x", True),
        ("s3://b/*/y", "s3://b/x", False),
        ("s3://b/x..y/z", "s3://b/x..y", True),
        ("/data/x", "s3://b", False),
        ("s3://b/x", "/", False),
        ("dbfs:/a/b", "dbfs:/a", True),
        ("dbfs:/ab", "dbfs:/a", False),
        ("/data/x", "/", True),
        ("file:///data/x", "/data", True),
        ("/data/x", "file:///data/", True),
        ("file:/data/%2e%2e/etc/x", "/data", False),
        ("/dataset/x", "/data", False),
        ("/data/../etc/x", "/data", False),
        ("/data/*/x", "/data", True),
        ("/d*/x", "/data", False),
        ("/data/100%25/%2e%2e", "/data", True),
    ],
)
def test_inside_a_root(uri: str, root: str, inside: bool) -> None:
    """By whole folders, with no way up in any spelling."""
    assert is_inside(uri, root) is inside


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    """Out of the root is out, into it is in, also behind a wildcard."""
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "real", other):
        folder.mkdir(parents=True)
    (root / "out").symlink_to(other)
    (root / "file").symlink_to(other / "not there yet")
    (other / "in").symlink_to(root / "real")
    (tmp_path / "alias").symlink_to(root)
    for uri, inside in (
        (root / "real" / "x", True),
        (root / "out" / "x", False),
        (root / "out" / "*.parquet", False),
        (root / "file", False),
        (other / "in" / "x", True),
        (tmp_path / "alias" / "real", True),
    ):
        assert is_inside(str(uri), str(root)) is inside, uri
    assert is_inside(str(root / "real"), str(tmp_path / "alias"))


@given(
    st.lists(
        st.sampled_from(["..", ".", "a", "root", "%2e%2e", "{a,..}", "\\..", "*", ""]), max_size=6
    )
)
def test_no_spelling_leads_out(steps: list[str]) -> None:
    """Whatever is put together, what is inside has no way up in it."""
    for prefix in ("/root", "file:///root"):
        uri = "/".join([prefix, *steps])
        if is_inside(uri, "/root"):
            assert ".." not in uri
            assert "\\" not in uri
            assert "%2e" not in uri or prefix == "/root"


def test_refusal_names_the_roots() -> None:
    """And what to do."""
    reason = refusal("s3://b/x", ["s3://a", "/data"])
    assert reason is not None
    assert "(s3://a, /data)" in reason
    assert "TECTON_BATCH_ROOTS" in reason


@pytest.mark.parametrize(
    ("file", "inside"),
    [
        ("file:///data/a%20b/x", True),
        ("file:///data/a b/x", True),
        ("file:///data/a%2520b/x", False),
        ("file:///data/a%20b/%2e%2e/c/x", False),
        ("s3://b/x", False),
    ],
)
def test_files_that_were_found_are_encoded(file: str, inside: bool) -> None:
    """A reader spells them in one way, so they are read in one way."""
    assert holds("/data/a b", file) is inside


@pytest.mark.parametrize(
    ("uri", "spark", "objects", "files"),
    [
        ("/data/a b", "/data/a b", "/data/a b", "/data/a b"),
        ("file:///data/a%20b", "file:///data/a%20b", "/data/a b", "/data/a b"),
        ("s3://bucket/x", "s3a://bucket/x", "s3://bucket/x", None),
        ("s3a://bucket/x", "s3a://bucket/x", "s3://bucket/x", None),
        ("gs://bucket/x", "gs://bucket/x", "gs://bucket/x", None),
        ("dbfs:/x/y", "dbfs:/x/y", "/dbfs/x/y", "/dbfs/x/y"),
        ("dbfs:///x", "dbfs:///x", "/dbfs/x", "/dbfs/x"),
        ("dbfs:/Volumes/c/s/v", "dbfs:/Volumes/c/s/v", "/Volumes/c/s/v", "/Volumes/c/s/v"),
        *(
            (uri, uri, uri, None)
            for uri in (
                "abfss://c@account.dfs.core.windows.net/x",
                "abfs://c@account.dfs.core.windows.net/x",
                "az://c/x",
                "hdfs://namenode/x",
            )
        ),
        (
            "wasbs://c@account.blob.core.windows.net/x",
            "wasbs://c@account.blob.core.windows.net/x",
            "abfss://c@account.dfs.core.windows.net/x",
            None,
        ),
    ],
)
def test_each_reader_has_its_own_spelling(
    uri: str, spark: str, objects: str, files: str | None
) -> None:
    """Hadoop's file systems, delta-rs with obstore, and the local file system."""
    assert (spark, objects, files) == (for_spark(uri), for_objects(uri), for_files(uri))


def test_one_bucket_has_two_schemes() -> None:
    """Spark names files by `s3a:`, people and delta-rs by `s3:`."""
    assert holds("s3://bucket/x", "s3a://bucket/x/1.parquet")
    assert not holds("s3://bucket", "s3a://bucket2/x")
