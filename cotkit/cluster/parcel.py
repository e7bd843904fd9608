"""What travels between the driver and its workers: plain values, errors included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cotkit.errors import BackendError, CotkitError
from cotkit.types import Completion, Problem, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a worker builds its backend."""

    model: str
    """As the user named it."""
    args: Mapping[str, str]
    """Fields of the backend, as text."""
    problems: tuple[Problem, ...]
    """Of the benchmark: ``simulated`` looks its answers up there."""
    key: str
    """``identity.backend_key`` of the driver's: a worker must have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of ours, in transit."""

    kind: type[CotkitError]
    message: str
    hint: str | None
    answered: Mapping[int, Completion] = field(default_factory=dict[int, Completion])

    @classmethod
    def of(cls, error: CotkitError) -> Failure:
        """Take it apart."""
        answered = dict(error.answered) if isinstance(error, BackendError) else {}
        return cls(kind=type(error), message=error.message, hint=error.hint, answered=answered)

    def error(self) -> CotkitError:
        """Put it together again."""
        error = self.kind.__new__(self.kind)
        CotkitError.__init__(error, self.message, hint=self.hint)
        if isinstance(error, BackendError):
            error.answered = self.answered
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Some of a shard, as soon as it is there."""

    found: tuple[tuple[int, tuple[Completion, ...] | Failure], ...]
    """(place of the request in the shard, what came of it)."""
    said: tuple[str, ...] = ()
    """What the backend would have a user read."""


Shard = tuple[Request, ...]
"""Requests that one worker gets together."""
