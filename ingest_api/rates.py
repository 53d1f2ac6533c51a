"""
How much one API key may ask for: token buckets, off unless set.
"""

from __future__ import annotations

import math

from tecton.access import ServiceAccount
from tecton.errors import RateLimited
from tecton.settings import Settings
from tecton.stores import Bucket, RequestStore


def charge(settings: Settings, store: RequestStore, account: ServiceAccount, records: int) -> None:
    """
    Count a request against its account's rates.

    Args:
        settings: The rates.
        store: The buckets.
        account: Who asks.
        records: How many records the request holds.

    Raises:
        RateLimited: The account has to wait.
    """
    rates = {
        "requests": (settings.requests_per_second, 1),
        "records": (settings.records_per_second, records),
    }
    # A bucket holds a second's worth, so no burst is longer than that.
    buckets = [Bucket(name, rate, rate, taken) for name, (rate, taken) in rates.items() if rate]
    seconds = store.spend(account.id, buckets) if buckets else 0
    if seconds > 0:
        listed = " and ".join(f"{bucket.rate} {bucket.name}" for bucket in buckets)
        raise RateLimited(f"this key may send {listed} a second", math.ceil(seconds))
