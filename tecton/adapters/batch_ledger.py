"""
`stores.BatchLedger` by documents: `filled/<workspace>.<id>/<view>/<number>.json`, empty ones, of
which the greatest counts; a job removes what is below its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tecton.adapters.documents import Documents
from tecton.applied import AppliedView, WorkspaceState
from tecton.names import path_of

_ENTRY = re.compile(r"([0-9a-f]+)/(\d{16})\.json", re.ASCII)


class DocumentLedger:
    """The ledger of one store. Safe to use from many processes.

    Args:
        documents: The store's.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def enter(self, state: WorkspaceState, view: AppliedView, number: int) -> None:
        """Write down that the rows of a job are in the online store."""
        folder = path_of("filled", state.folder, view.online_id)
        path = f"{folder}/{number:016}.json"
        self._documents.put_if_absent(path, b"{}")
        # Names are of one length, so their order is that of the numbers.
        self._documents.delete([old for old in self._documents.list(folder) if old < path])

    def of(self, state: WorkspaceState) -> Mapping[str, int]:
        """The greatest number of each view, by `online_id`."""
        folder = path_of("filled", state.folder)
        names = (path.removeprefix(f"{folder}/") for path in self._documents.list(folder))
        matches = (_ENTRY.fullmatch(name) for name in names)
        # In ascending order: the last of a view is the greatest.
        return {match[1]: int(match[2]) for match in matches if match}
