"""
Where data is: which URIs are taken, what lies inside allowed roots, and who spells them how.

Plan asks here, and the job asks again: it trusts nothing that was applied under other settings.
Spark, delta-rs with obstore, and the file system each have spellings of their own for one place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname


class BatchRules(NamedTuple):
    """What jobs keep to when they read batch data.

    Args:
        roots: Where it may be; none: anywhere.
        key_bytes: The longest join key, in UTF-8; rows with a longer one are left out, as
            `POST /ingest` refuses them.
    """

    roots: tuple[str, ...] = ()
    key_bytes: int = 512


BUCKET_SCHEMES = ("s3", "s3a", "gs", "abfss", "abfs", "az", "wasbs", "hdfs")
"""Schemes that are followed by `//` and the name of a bucket, container or cluster."""

SCHEMES_RULE = (
    f"a path, or a URI that begins with {', '.join(f'{name}://' for name in BUCKET_SCHEMES)}, "
    "dbfs:/ or file:///"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BUCKET = re.compile(rf"(?:{'|'.join(BUCKET_SCHEMES)})://([^/\s?#\[\]]+)(/.*)?")
_DBFS = re.compile(r"dbfs:(/+[^/].*)")
_FILE = re.compile(r"file:(?://(?:localhost)?)?(/(?!/).*)")
_WASBS = re.compile(r"wasbs://([^/@]+@[^/]+)\.blob\.([^/]+)(/.*)?")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_WILD = re.compile(r"[*?\[{]")


def refusal(uri: str, roots: Sequence[str] = ()) -> str | None:
    """
    Why batch data may not be read from there; None if it may.

    Args:
        uri: A path, which starts at the root of the file system, or a URI.
        roots: Folders and URIs of which it must be inside of one; none: it may be anywhere.
    """
    scheme = _SCHEME.match(uri)
    # Some readers decode what stands in a URI.
    if _UNFIT.search(unquote(uri) if scheme else uri):
        return "holds a control character or bytes that are no text; rename the file"
    bucket = _BUCKET.fullmatch(uri)
    if scheme and not (bucket or _DBFS.fullmatch(uri) or _FILE.fullmatch(uri)):
        return (
            f"is not taken: batch data is {SCHEMES_RULE}; jobs read nothing from other places, "
            "copy the data to one of these (a relative path with a colon begins with ./)"
        )
    if bucket and ":" in bucket[1].rpartition("@")[0]:
        return "holds a password, which would be kept for ever; give the jobs a role instead"
    if roots and not any(is_inside(uri, root) for root in roots):
        return (
            f"is in none of the allowed roots ({', '.join(roots)}), spelled without `..` and "
            "backslashes; move the data there or have TECTON_BATCH_ROOTS changed"
        )
    return None


def is_inside(uri: str, root: str) -> bool:
    """
    Is *uri* at or below *root*, however anybody reads it?

    Symbolic links of local paths count as what they lead to.

    Args:
        uri: A path or URI, maybe with wildcards.
        root: A path or URI without.
    """
    # In a URI `%2e` is a point to some readers and text to others, so both have to be inside.
    spelled = {uri, unquote(uri)} if _SCHEME.match(uri) else {uri}
    return all(_is_inside(one, root) for one in spelled)


def holds(root: str, file: str) -> bool:
    """
    Is a file that a reader has found at or below *root*?

    Args:
        root: A path or URI.
        file: Its URI, encoded as a URI is, without wildcards.
    """
    # `s3:` and `s3a:` name one bucket; Spark tells of the files in it by the latter.
    return _is_inside(for_spark(unquote(file)), for_spark(root))


def for_spark(uri: str) -> str:
    """
    A path or URI as Spark with Hadoop's file systems reads it.

    Args:
        uri: As people write it. `az://` names no account, so no Spark reads it: it stays.
    """
    # Hadoop has no file system for `s3:`; EMR and Databricks read `s3a:` too.
    return "s3a:" + uri.removeprefix("s3:") if uri.startswith("s3://") else uri


def for_objects(uri: str) -> str:
    """
    A path or URI as delta-rs and obstore take it.

    Args:
        uri: As people write it. What is mounted or local becomes a path.
    """
    path = for_files(uri)
    if path is not None:
        return path
    if uri.startswith("s3a://"):
        return "s3:" + uri.removeprefix("s3a:")
    blob = _WASBS.fullmatch(uri)
    return uri if blob is None else f"abfss://{blob[1]}.dfs.{blob[2]}{blob[3] or ''}"


def for_files(uri: str) -> str | None:
    """
    The path under which the file system has it; None for what is in an object store.

    Args:
        uri: As people write it; `dbfs:/` is found through its mount `/dbfs`.

    Raises:
        ValueError: It is no URI.
    """
    if _DBFS.fullmatch(uri):
        path = "/" + uri.removeprefix("dbfs:").lstrip("/")
        return path if path.startswith("/Volumes/") else "/dbfs" + path
    if uri.startswith("file:"):
        return url2pathname(urlsplit(uri).path)
    return None if _SCHEME.match(uri) else uri


def _is_inside(uri: str, root: str) -> bool:
    if "\\" in uri or ".." in re.split(r"[/{},]", uri):
        return False
    path, top = _local(uri), _local(root)
    if path is None or top is None:
        return path is top is None and _starts_with(uri, root.rstrip("/"))
    # What a wildcard finds is known to the reader only; the folder that it stands in is known.
    fixed = path[: wild.start()].rpartition("/")[0] if (wild := _WILD.search(path)) else path
    return _starts_with(os.path.realpath(fixed or "/"), os.path.realpath(top).rstrip("/"))


def _starts_with(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


def _local(uri: str) -> str | None:
    """The local path that a URI is; None for one of elsewhere."""
    if _SCHEME.match(uri) is None:
        return uri
    file = _FILE.fullmatch(uri)
    return None if file is None else file[1]
