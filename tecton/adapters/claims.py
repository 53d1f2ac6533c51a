"""
`stores.Claims` by documents under `claims/<workspace>/`.

`owners/<owner>.json` is that owner's lease, which it alone writes again and again. A claim is the
document with the greatest number in `held/<name>/`, put if absent; who takes it over puts the
next number. `.done` beside it says that it was given up.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from tecton.adapters.documents import Documents
from tecton.errors import StoreFormatError
from tecton.names import path_of
from tecton.stores import Lease

_NUMBERED = re.compile(r"(\d{9})\.(?:json|done)", re.ASCII)


class _Holder(msgspec.Struct):
    owner: str


class _Sign(msgspec.Struct):
    until: datetime
    who: str


class DocumentClaims:
    """The claims of one store. Safe to use from many threads.

    Args:
        documents: The store's.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def keep(self, workspace: str, lease: Lease) -> None:
        """Say that an owner lives."""
        sign = msgspec.json.encode(_Sign(lease.until, lease.who))
        self._documents.put(_owner(workspace, lease.owner), sign)

    def lease(self, workspace: str, owner: str) -> Lease | None:
        """What an owner has said last."""
        path = _owner(workspace, owner)
        data = self._documents.get(path)
        if data is None:
            return None
        sign = _decode(data, _Sign, path)
        return Lease(owner, sign.until, sign.who)

    def take(self, workspace: str, name: str, owner: str, now: datetime) -> str | None:
        """Claim *name*, unless somebody else who lives holds it; see `stores.Claims`."""
        number, holder = self._newest(workspace, name)
        if holder is not None:
            if holder == owner:
                return None
            lease = self.lease(workspace, holder)
            if lease is not None and lease.until > now:
                return holder
        data = msgspec.json.encode(_Holder(owner))
        if self._documents.put_if_absent(_held(workspace, name, number + 1), data):
            return None
        # Somebody was faster, or our own first request was answered with silence.
        _, holder = self._newest(workspace, name)
        return None if holder == owner else holder or "somebody who has just ended"

    def release(self, workspace: str, name: str, owner: str) -> None:
        """Give a claim up."""
        number, holder = self._newest(workspace, name)
        if holder == owner:
            path = _held(workspace, name, number)
            self._documents.put_if_absent(f"{path.removesuffix('.json')}.done", b"{}")

    def cancel(self, workspace: str, run_id: str) -> None:
        """Ask for the end of a job."""
        self._documents.put_if_absent(_cancelled(workspace, run_id), b"{}")

    def is_cancelled(self, workspace: str, run_id: str) -> bool:
        """Has anybody asked for the end of a job?"""
        return self._documents.get(_cancelled(workspace, run_id)) is not None

    def forget(self, workspace: str, before: datetime) -> int:
        """Drop what was last written before a time."""
        return self._documents.delete_older(path_of("claims", workspace), before)

    def _newest(self, workspace: str, name: str) -> tuple[int, str | None]:
        """The number of the newest claim, 0 for none, and who holds it; None: nobody does."""
        paths = self._documents.list(path_of("claims", workspace, "held", name))
        names = {path.rpartition("/")[2] for path in paths}
        matches = map(_NUMBERED.fullmatch, names)
        number = max((int(match[1]) for match in matches if match), default=0)
        if number == 0 or f"{number:09}.done" in names:
            return number, None
        path = _held(workspace, name, number)
        data = self._documents.get(path)
        # It was tidied away since it was listed, so it is long over.
        return number, None if data is None else _decode(data, _Holder, path).owner


def _owner(workspace: str, owner: str) -> str:
    return path_of("claims", workspace, "owners", f"{owner}.json")


def _held(workspace: str, name: str, number: int) -> str:
    return path_of("claims", workspace, "held", name, f"{number:09}.json")


def _cancelled(workspace: str, run_id: str) -> str:
    return path_of("claims", workspace, "cancelled", f"{run_id}.json")


def _decode(data: bytes, kind: type[msgspec.Struct], path: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as exc:
        raise StoreFormatError(f"{path} in the store cannot be read: {exc}") from exc
