"""The errors a user can meet, drawn as a tree. Anything else that escapes is a bug.

::

    CotkitError
    ├── UsageError                 2   the command cannot be understood
    │   ├── UnknownNameError       2   no such strategy, benchmark, backend, model, reader
    │   └── BadInputError         65   a file holds something wrong: names file, line, field
    ├── MissingDataError          66   a benchmark or model is neither here nor reachable
    ├── MissingDependencyError    69   an optional package is not installed: names the pip line
    ├── BackendError              69   a model gave nothing usable
    │   ├── PromptTooLongError    65   prompt and completion do not fit the context window
    │   ├── ModelLoadError        66   the model cannot be used: its files, or no server has it
    │   ├── AccessError           77   a server wants another key, or payment
    │   ├── ContentRefusalError   69   a server's filter refuses a prompt: counted as refused
    │   └── TransientError        75   worth trying again (``retryable``)
    ├── StoreError                74   the store cannot be opened, locked or written
    ├── IncompleteRunError        75   attempts are missing; resume to complete them
    └── InterruptedRunError      130   Ctrl-C; what was done is kept

Exit codes follow BSD ``sysexits.h`` (64..78) where it has one, 2 for usage as every command-line
tool does, and 130 for an interrupt. 3, 4 and 5 are verdicts of ``--gate``: no material help,
undetermined, harms (0: helps).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from cotkit.printable import mask_passwords, name_some, printable

_LONGEST, _LONGEST_HINT = 1000, 900  # characters of a value that an error repeats; 25 names


def _shorten(text: str, n_most: int) -> str:
    return text if len(text) <= n_most else f"{text[:n_most]}…"


class CotkitError(Exception):
    """Base of every error that is shown to a user as one line."""

    exit_code: ClassVar[int] = 70
    """Status of the process when this error ends it."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed when made again."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return message and hint as one line, whatever a value or address in them holds."""
        message = _shorten(self.message, 2 * _LONGEST)
        text = f"{message} ({_shorten(self.hint, _LONGEST_HINT)})" if self.hint else message
        return printable(mask_passwords(" ".join(text.splitlines())))


class UsageError(CotkitError):
    """The command or call cannot be understood."""

    exit_code = 2


_MOST_SHOWN = 25  # names: enough for all strategies or all benchmarks


class UnknownNameError(UsageError):
    """A name that is not in a registry; says which ones come close, or all where they are few.

    ``aliases``: other names that come close, too -> what to write in their place.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        choices: Iterable[str],
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        names = sorted(choices)
        by_lower_case = {**aliases, **{choice.lower(): choice for choice in names}}
        matches = difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.5)
        if matches:
            hint = f"did you mean {' or '.join(by_lower_case[match] for match in matches)}?"
        else:
            if any("," in each for each in names[:_MOST_SHOWN]):  # else nobody knows where one ends
                names = [f"'{each}'" for each in names]
            hint = f"known: {name_some(names, _MOST_SHOWN)}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class BadInputError(UsageError):
    """A file holds something wrong."""

    exit_code = 65

    def __init__(
        self,
        path: Path | str,
        problem: str,
        *,
        line: int | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        place = (
            str(path) + (f":{line}" if line is not None else "") + (f":{field}" if field else "")
        )
        super().__init__(f"{place[-_LONGEST:]}: {_shorten(problem, _LONGEST)}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a file, to be named by an error."""

    file: Path | str
    """The file's path, with the member of an archive after ``!``; or a word for another source."""
    line: int | None = None
    """Line number from 1; None: the file is not read by lines."""
    field: str | None = None
    """What lies there, e.g. ``examples[3]``; its fields are named below it: ``examples[3].id``."""
    hint: str | None = None
    """The hint of an error that has none of its own."""

    def make_error(
        self, problem: str, *, field: str | None = None, hint: str | None = None
    ) -> BadInputError:
        """Return an error about this place, or about a field of what lies there."""
        name = ".".join(part for part in (self.field, field) if part)
        return BadInputError(
            self.file, problem, line=self.line, field=name or None, hint=hint or self.hint
        )


class MissingDataError(CotkitError):
    """A benchmark or model is neither on this machine nor reachable."""

    exit_code = 66


class MissingDependencyError(CotkitError):
    """An optional package is not installed."""

    exit_code = 69

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"run: pip install 'cotkit[{extra}]'")


class BackendError(CotkitError):
    """A model gave nothing usable, or not for every sample that it was asked for."""

    exit_code = 69
    answered: Mapping[int, Any] = MappingProxyType({})
    """Sample -> the completion, for those of the request that did come: they are kept."""
    is_permanent: bool = False
    """Whether a server refuses this one request for good, which says nothing of others."""


class PromptTooLongError(BackendError):
    """Prompt and completion together do not fit the model's context window."""

    exit_code = 65


class ModelLoadError(BackendError):
    """The model cannot be used: its folder or file is unfit, or the server has none of its name."""

    exit_code = 66


class AccessError(BackendError):
    """A server refuses the key, the account or the region, or its quota is used up."""

    exit_code = 77


class ContentRefusalError(BackendError):
    """A provider's filter refuses the words of one prompt: an answer, of the kind ``refused``."""

    tries: tuple[Any, ...] = ()
    """Every call that it took."""


class TransientError(BackendError):
    """A fault that may pass: worth trying again."""

    exit_code = 75
    retryable = True


class StoreError(CotkitError):
    """The store cannot be opened, locked or written."""

    exit_code = 74


class DamagedStoreError(StoreError):
    """What the file of a store holds is damaged, or is no store."""


class IncompleteRunError(CotkitError):
    """Attempts are missing from a run."""

    exit_code = 75


class InterruptedRunError(CotkitError):
    """The user stopped the run; everything done so far is kept."""

    exit_code = 130
