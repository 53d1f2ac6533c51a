"""
The error tree: every failure that a caller can act on.

TectonError
├── DefinitionError           a feature repo cannot be applied; lists every problem
├── RequestError              the request as a whole is wrong
│   ├── RequestTooLarge
│   ├── InvalidRecords        one or more records are wrong; lists every one
│   ├── AuthenticationFailed
│   ├── AuthorizationFailed
│   ├── NotFound
│   ├── RequestRunning
│   ├── InvalidEvents         a notebook's events frame lacks a column or has a wrong one
│   └── RateLimited
├── Unavailable               try again later; nothing is half done
│   ├── StoreUnavailable      Redis or the store folder does not answer
│   ├── ViewNotLoaded         the online store does not hold a view's rows (yet)
│   ├── WriterFenced          another process has taken over this writer's slot
│   └── FunctionsUnavailable  a view's function cannot run here, or functions are turned off
├── FunctionStopped           a view's function took too long, or its process died
├── Conflict                  somebody else was faster
├── StoreFormatError          the store was written by a newer version
├── SettingsError             the environment is incomplete or contradicts itself
├── SourceError               a batch source is missing or has another schema
└── JobFailed                 a materialisation job ended without success
    ├── JobCancelled          somebody asked for its end
    ├── JobRefused            what is asked for cannot be done
    └── JobTaken              another job is at it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TectonError(Exception):
    """Something that the caller can act on; the message says how."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a feature repo.

    Args:
        where: File and line, as `ads/features.py:12`.
        what: Kind and name of the object, as `StreamFeatureView click_events_fv`.
        field: The constructor argument or schema field concerned.
        message: What was seen, what was expected, what to do.
    """

    where: str
    what: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.field}: {self.message}"


class DefinitionError(TectonError):
    """A feature repo has wrong definitions; every one is listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{count} {noun} in the feature repo, nothing was changed:\n{lines}")


class RequestError(TectonError):
    """The request as a whole is wrong; nothing was written."""


class RequestTooLarge(RequestError):
    """The body is larger than the service accepts."""


@dataclass(frozen=True)
class RecordProblem:
    """One bad record of a request.

    Args:
        source: Name of the stream source under which the record was sent.
        index: Position in that source's list, from 0.
        message: What was expected and what was seen.
        view: The feature view whose rule is broken, if one is concerned.
    """

    source: str
    index: int
    message: str
    view: str | None = None


class InvalidRecords(RequestError):
    """Some records are wrong; none of the request was written."""

    def __init__(self, workspace: str, problems: Sequence[RecordProblem]) -> None:
        self.workspace = workspace
        self.problems = tuple(problems)
        super().__init__(f"{len(self.problems)} bad record(s) in the request")


class AuthenticationFailed(RequestError):
    """Missing or invalid Tecton-key authorization header."""

    def __init__(self) -> None:
        super().__init__("invalid 'Tecton-key' authorization header")


class AuthorizationFailed(RequestError):
    """The service account lacks the role that the operation needs."""


class NotFound(RequestError):
    """A workspace, source, view or service of that name does not exist."""


class RequestRunning(RequestError):
    """The same request is under way; try again after `retry_after` seconds."""

    retry_after = 1


class InvalidKeys(TectonError):
    """Join keys that shall be deleted are not those of the view."""


class InvalidEvents(RequestError):
    """The events frame of an offline read lacks a column, or has one that it must not have."""


class RateLimited(RequestError):
    """Too much at once; try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Unavailable(TectonError):
    """The system cannot answer now; try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class StoreUnavailable(Unavailable):
    """Redis or the store folder does not answer."""


class StoreForbids(StoreUnavailable):
    """Redis does not allow its user what was asked."""


class ViewNotLoaded(Unavailable):
    """The online store does not hold the rows of a view (yet)."""


class WriterFenced(Unavailable):
    """Another process has taken over this writer's slot."""


class FunctionsUnavailable(Unavailable):
    """A view's function cannot run in this place; no record can be blamed."""

    def __init__(self, view: str, reason: str) -> None:
        self.view = view
        super().__init__(f"Feature View {view} has a function, and {reason}", retry_after=60)


class FunctionStopped(TectonError):
    """A view's function took too long, or its process died; nothing was written."""

    def __init__(self, view: str, reason: str) -> None:
        self.view = view
        super().__init__(f"the function of Feature View {view} {reason}")


class Conflict(TectonError):
    """Somebody else changed the same thing in between; nothing was changed."""


class StoreFormatError(TectonError):
    """The store was written by a newer version of this software."""


class SettingsError(TectonError):
    """The environment is incomplete or contradicts itself."""


class SourceError(TectonError):
    """A batch source is missing or does not hold what its definition says."""


class JobFailed(TectonError):
    """A materialisation job ended without success."""


class JobCancelled(JobFailed):
    """Somebody asked for the end of a materialisation job."""


class JobTaken(JobFailed):
    """Another job is at the same work; it will do it, or it can be tried again."""


class JobRefused(JobFailed):
    """What is asked of a materialisation job cannot be done; nothing was started."""
