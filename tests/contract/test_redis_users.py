"""Redis with passwords, and a user who may do no more than is needed."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from tecton.adapters.redis_online import RedisOnlineStore
from tecton.adapters.redis_requests import RedisRequestStore
from tecton.errors import StoreUnavailable
from tests.redis_places import ROOT, Place, acl_words
from tests.redis_servers import RedisServer

REFUSED = "refuses the user or password"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server that wants a password."""
    server = RedisServer("--requirepass", "swordfish")
    yield server
    server.remove()


def use(url: str) -> None:
    """Reading and writing of both stores."""
    RedisOnlineStore.connect(url).mark_loaded(["v"])
    RedisRequestStore.connect(url).claim("a", "digest", "token")


def test_password_opens(guarded: RedisServer) -> None:
    """With or without the default user's name."""
    for login in (":swordfish", "default:swordfish"):
        use(f"redis://{login}@127.0.0.1:{guarded.port}")


@pytest.mark.parametrize("login", ["", ":marlin@", "default:marlin@", "marlin:swordfish@"])
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_wrong_password_is_a_clear_error(guarded: RedisServer, scheme: str, login: str) -> None:
    """It is named as such; neither word is shown, in the causes that are logged neither."""
    with pytest.raises(StoreUnavailable, match=REFUSED) as error:
        use(f"{scheme}://{login}127.0.0.1:{guarded.port}")
    shown = "".join(map(str, traceback.format_exception_only(error.type, error.value)))
    cause: BaseException | None = error.value
    while cause is not None:
        shown += str(cause)
        cause = cause.__cause__
    assert "marlin" not in shown
    assert "swordfish" not in shown


def test_command_that_is_not_allowed_is_a_clear_error(guarded: RedisServer) -> None:
    """The message says where all that are needed are listed."""
    words = [word for word in acl_words("marlin") if word != "+set"]
    with guarded.admin as client:
        client.execute_command(*words)
    with pytest.raises(StoreUnavailable, match=r"docs/redis\.md"):
        use(f"redis://tecton:marlin@127.0.0.1:{guarded.port}")


@pytest.mark.parametrize("kind", ["redis_server", "redis_cluster"])
def test_other_keys_are_out_of_reach(request: pytest.FixtureRequest, kind: str) -> None:
    """Whoever has the password has what begins with `tecton:`, and nothing else."""
    place = Place(request.getfixturevalue(kind), is_restricted=True)
    store = RedisOnlineStore.connect(place.url)
    store.mark_loaded(["v"])
    driver: Any = store.client
    for words in (["GET", "other"], ["SET", "other", "1"], ["FLUSHALL"], ["CONFIG", "GET", "*"]):
        with pytest.raises(Exception, match="permission"):
            driver.execute_command(*words)


def test_every_permission_is_needed() -> None:
    """What no script calls and no connection needs is not allowed; all else is."""
    # A URL with a database's number selects it, and the driver asks a cluster for its commands.
    needed = {"get", "mget", "eval", "evalsha", "select", "asking", "cluster|slots", "command"}
    for script in (ROOT / "tecton" / "adapters").glob("*.lua"):
        called = re.findall(r"redis\.call\(\s*['\"]([A-Z]+)['\"]", script.read_text("utf-8"))
        needed |= {word.lower() for word in called}
    granted = {word[1:] for word in acl_words() if word.startswith("+")}
    assert granted == needed
