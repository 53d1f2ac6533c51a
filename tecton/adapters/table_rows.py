"""
The rows of Delta tables, as Arrow has them; none of Arrow's threads calls Python for them.

One that does so while the process ends takes it down with "terminate called" (in Python 3.11), and
through delta-rs' own file system they would. In a folder Arrow opens the files itself. Files of an
object store are fetched by threads of Python, which is waited for at the end, and Arrow gets bytes
of its own; see docs/decisions/0046.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs

from tecton.adapters.documents import Documents

BATCH_ROWS = 10_000
"""Rows that come at once; Arrow's own measure is hundreds of megabytes read ahead."""

AT_ONCE = 8
"""Files of an object store that are fetched ahead: each is a round trip."""

IN_MEMORY_BYTES = 16 * 2**20
"""A larger file is fetched when it is its turn, to the disk: the service's memory is bounded."""


class TableRows:
    """The rows of one version of a table.

    Args:
        table: The version.
    """

    def __init__(self, table: DeltaTable) -> None:
        uri = table.table_uri
        self._far: Documents | None = None
        if uri.startswith("file://"):
            found, path = fs.FileSystem.from_uri(uri)
            files = fs.SubTreeFileSystem(path, found)
        else:
            # The dataset then only knows of files, and of what the log says about them.
            self._far, files = Documents(uri.rstrip("/")), fs.LocalFileSystem()
            sizes = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
            self._sizes = {row["path"]: row["size_bytes"] for row in sizes}
        self._dataset = table.to_pyarrow_dataset(filesystem=files)

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self._dataset.schema.names)

    def read(
        self,
        columns: Sequence[str] | None = None,
        chosen: pc.Expression | None = None,
        paths: Collection[str] | None = None,
    ) -> pa.Table:
        """
        Rows at once.

        Args:
            columns: Which columns; None: all.
            chosen: Which rows; None: all.
            paths: Of which files, as the log names them; None: of all.
        """
        parts = self._parts(chosen, paths)
        if self._far is None:
            return self._of(parts).to_table(columns=columns, filter=chosen)
        schema = self._dataset.scanner(columns=columns).projected_schema
        return pa.Table.from_batches(self._fetched(parts, columns, chosen), schema)

    def batches(
        self, columns: Sequence[str], chosen: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows a bounded number at a time, with little read ahead; arguments as above."""
        parts = self._parts(chosen, None)
        if self._far is not None:
            return self._fetched(parts, columns, chosen)
        batches = self._of(parts).to_batches(
            columns=list(columns),
            filter=chosen,
            batch_size=BATCH_ROWS,
            batch_readahead=2,
            fragment_readahead=2,
        )
        return (batch for batch in batches if batch.num_rows)

    def _parts(
        self, chosen: pc.Expression | None, paths: Collection[str] | None
    ) -> list[ds.ParquetFileFragment]:
        """The files that may have such rows, by what the log says of them."""
        found = self._dataset.get_fragments(chosen)
        return [part for part in found if paths is None or part.path in paths]

    def _of(self, parts: Sequence[ds.ParquetFileFragment]) -> ds.FileSystemDataset:
        known = self._dataset
        return ds.FileSystemDataset(parts, known.schema, known.format, known.filesystem)

    def _fetched(
        self,
        parts: Sequence[ds.ParquetFileFragment],
        columns: Sequence[str] | None,
        chosen: pc.Expression | None,
    ) -> Iterator[pa.RecordBatch]:
        for part, source in self._sources(parts):
            there = self._dataset.format.make_fragment(
                source, partition_expression=part.partition_expression
            )
            yield from (
                batch
                for batch in there.to_batches(
                    schema=self._dataset.schema,
                    columns=columns,
                    filter=chosen,
                    batch_size=BATCH_ROWS,
                    batch_readahead=2,
                )
                if batch.num_rows
            )

    def _sources(
        self, parts: Sequence[ds.ParquetFileFragment]
    ) -> Iterator[tuple[ds.ParquetFileFragment, Any]]:
        """Files in their order, the next small ones of which are under way."""
        waiting: deque[_Fetch] = deque()
        pool = ThreadPoolExecutor(AT_ONCE, "table files")
        try:
            for part in parts:
                is_small = self._sizes[part.path] <= IN_MEMORY_BYTES
                fetch = pool.submit(self._in_memory, part.path) if is_small else None
                waiting.append(_Fetch(part, fetch))
                if len(waiting) == AT_ONCE:
                    yield self._arrived(waiting.popleft())
            while waiting:
                yield self._arrived(waiting.popleft())
        finally:
            # Whoever reads no further does not wait for what nobody will look at.
            pool.shutdown(wait=False, cancel_futures=True)

    def _arrived(self, fetch: _Fetch) -> tuple[ds.ParquetFileFragment, Any]:
        if fetch.source is not None:
            return fetch.part, fetch.source.result()
        return fetch.part, self._on_disk(fetch.part.path)

    def _in_memory(self, path: str) -> pa.Buffer:
        # A copy: bytes of Python's would be let go of by whichever thread is the last to need them.
        sink = pa.BufferOutputStream()
        for chunk in self._chunks(path):
            sink.write(chunk)
        return sink.getvalue()

    def _on_disk(self, path: str) -> pa.NativeFile:
        """An open file without a name, so that nothing stays however the process ends."""
        with tempfile.NamedTemporaryFile() as file:
            for chunk in self._chunks(path):
                file.write(chunk)
            file.flush()
            return pa.OSFile(file.name)

    def _chunks(self, path: str) -> Iterator[bytes]:
        assert self._far is not None  # noqa: S101  # only then is anything fetched
        return self._far.chunks(path)


class _Fetch(NamedTuple):
    """A file that is under way, or that waits for its turn."""

    part: ds.ParquetFileFragment
    source: Future[pa.Buffer] | None
