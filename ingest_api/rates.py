"""
How much one API key may ask for: token buckets, off unless set.
"""

from __future__ import annotations

import math

from tecton.access import ServiceAccount
from tecton.errors import RateLimited
from tecton.settings import Settings
from tecton.stores import Bucket, RequestStore


def charge_request(settings: Settings, store: RequestStore, account: ServiceAccount) -> None:
    """
    Count a request against its account's rate, whatever becomes of it.

    Args:
        settings: The rates.
        store: The buckets.
        account: Who asks.

    Raises:
        RateLimited: The account has to wait.
    """
    _charge(store, account, "requests", settings.requests_per_second, 1)


def charge_records(
    settings: Settings, store: RequestStore, account: ServiceAccount, records: int
) -> None:
    """
    Count records against their account's rate.

    Args:
        settings: The rates.
        store: The buckets.
        account: Who asks.
        records: How many records the request holds.

    Raises:
        RateLimited: The account has to wait.
    """
    _charge(store, account, "records", settings.records_per_second, records)


def _charge(store: RequestStore, account: ServiceAccount, name: str, rate: int, taken: int) -> None:
    if not rate:
        return
    # A bucket holds a second's worth, so no burst is longer than that.
    seconds = store.spend(account.id, [Bucket(name, rate, rate, taken)])
    if seconds > 0:
        raise RateLimited(f"this key may send {rate} {name} a second", math.ceil(seconds))
