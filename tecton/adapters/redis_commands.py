"""
What is asked of Redis: commands that each concern one slot, sent together and answered together.

Every command of ours may be sent twice (docs/decisions/0022): scripts compare before they set, a
claim and a payment know their own token, and a sequence that is taken in vain is missed by nobody.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from tecton.adapters.redis_keys import Buckets
from tecton.errors import StoreForbids, StoreUnavailable

Ask = Callable[["Command"], Any]
"""Sends one command, wherever its key is just now."""


@dataclass(frozen=True)
class Script:
    """A Lua script."""

    text: str
    digest: str

    @classmethod
    def load(cls, name: str) -> Script:
        """One of the scripts beside this module."""
        text = files("tecton.adapters").joinpath(f"{name}.lua").read_text("utf-8")
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def on(self, keys: Sequence[str], *arguments: Any, singly: Singly | None = None) -> Command:
        """The command that runs it.

        Args:
            keys: All of one slot.
            arguments: What the script takes beside its keys.
            singly: See `Command`.
        """
        return Command((len(keys), *keys, *arguments), keys[0], self, singly)


@dataclass(frozen=True)
class Command:
    """
    One command; all of its keys are in one slot.

    Args:
        words: What is sent; of a script what follows its text.
        key: One of the keys, which tells the slot.
        script: The script.
        singly: Does the same by commands of one key each. While a slot moves from node to node
            some of its keys are here and some there, and Redis answers nothing else.
    """

    words: tuple[Any, ...]
    key: str
    script: Script | None = None
    singly: Singly | None = None

    @property
    def short(self) -> tuple[Any, ...]:
        """All words; of a script its digest, which Redis may not know."""
        return self.words if self.script is None else ("EVALSHA", self.script.digest, *self.words)

    @property
    def whole(self) -> tuple[Any, ...]:
        """All words; of a script its text, which Redis then remembers."""
        return self.words if self.script is None else ("EVAL", self.script.text, *self.words)


Singly = Callable[[Ask], Any]
"""Does what a command does by others of one key each."""


def get(key: str) -> Command:
    """The value of a key, None if there is none."""
    return Command(("GET", key), key)


def delete(key: str) -> Command:
    """Delete a key."""
    return Command(("DEL", key), key)


def get_all(keys: Sequence[str]) -> Command:
    """The values of keys of one slot."""

    def singly(ask: Ask) -> list[Any]:
        # From the last: markers come first, and hold for what was read before them.
        return [ask(get(key)) for key in reversed(keys)][::-1]

    return Command(("MGET", *keys), keys[0], singly=singly)


class RedisClient(ABC):
    """A Redis, of one server or a cluster. Connects when it is first asked."""

    buckets: Buckets

    @property
    @abstractmethod
    def driver(self) -> Any:
        """The driver's client, for administration."""

    @abstractmethod
    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """
        Send commands, in one round trip for each node.

        Returns:
            An answer or an exception for each; of a script that is not known `NoScriptError`.

        Raises:
            RedisError: Some may have been executed.
            RedisClusterException: As `RedisError`, which it should be.
        """

    @abstractmethod
    def exchange_whole(self, command: Command) -> Any:
        """Send one command with its script's whole text; answers or raises as `exchange`."""

    def ask(self, command: Command) -> Any:
        """
        What a command answers.

        Raises:
            StoreUnavailable: The driver failed, for whatever reason.
        """
        return self.ask_all([command])[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """
        What commands answer, in their order.

        Raises:
            StoreUnavailable: One of them failed; others may have been executed.
        """
        try:
            return self._answers(commands)
        except (RedisError, RedisClusterException) as exc:
            raise unavailable(exc) from exc

    def _answers(self, commands: Sequence[Command]) -> list[Any]:
        answers = self.exchange(commands)
        for number, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[number] = self.exchange_whole(commands[number])
            elif isinstance(answer, Exception):
                raise answer
        return answers


_FORBIDDEN = (
    "Redis does not allow its user a command or key that is needed; docs/redis.md lists all"
)

_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        AuthenticationError,
        "",
        "Redis refuses the user or password of TECTON_REDIS_URL, or wants one that is not there",
    ),
    (NoPermissionError, "", _FORBIDDEN),
    # In a script: Redis 6.2, and 7 or newer.
    (ResponseError, "user executing the script can't|ACL failure in script", _FORBIDDEN),
    (
        MovedError,
        "",
        "this Redis is a node of a cluster: TECTON_REDIS_URL must begin with redis+cluster:// or "
        "rediss+cluster://",
    ),
)


def unavailable(error: Exception) -> StoreUnavailable:
    """A driver's error as ours. Nothing of the URL, nor of a command's words, is in the message."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, words, message in _REASONS:
            if isinstance(cause, kind) and re.search(words, str(cause)):
                return (StoreForbids if message == _FORBIDDEN else StoreUnavailable)(message)
        cause = cause.__cause__
    # Of a command that it does not know Redis quotes what follows it.
    said, _, _ = str(error).partition(", with args")
    return StoreUnavailable(f"Redis does not answer: {said}")
