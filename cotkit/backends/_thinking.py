"""How much a model may think: one decision for all backends, over what each says its models can."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cotkit.errors import UsageError
from cotkit.protocols import Backend, ThinkingBackend
from cotkit.types import EFFORTS, Decoding


def thinking_room(backend: Backend, decoding: Decoding) -> int:
    """Return how many tokens of thinking a completion may have beside its answer; 0: none.

    Raises:
        UsageError: the model cannot be told to think so.
    """
    if isinstance(backend, ThinkingBackend):
        return backend.thinking_room(decoding)
    if decoding.thinking is None and decoding.max_thinking_tokens is None:
        return 0
    info = backend.info
    raise UsageError(
        f"{info.model} cannot be told how to think: {info.backend} has no such setting",
        hint="leave thinking out",
    )


def decide_room(
    decoding: Decoding,
    rooms: Mapping[str, int],
    can: Callable[[str], bool],
    *,
    thinks: bool,
    budgets: str | None,
    model: str,
    why_not: str = "",
) -> int:
    """Return how many tokens of thinking to allow beside ``decoding.max_tokens``; 0: none.

    Args:
        decoding: Says how to think.
        rooms: Effort -> tokens allowed where the user sets no limit; of ``on`` and of a model that
            thinks as it likes, those of ``medium``.
        can: Whether the model has a setting.
        thinks: Whether it thinks where nothing tells it to.
        budgets: Which budgets it takes, in words; None: none.
        model: As the user names it.
        why_not: What to say of a setting that it has not.

    Raises:
        UsageError: the model cannot be told to think so; names what it can.
    """
    setting = decoding.thinking
    if setting is None:
        return decoding.max_thinking_tokens or (rooms["medium"] if thinks else 0)
    if not can(setting):
        settings = [each for each in ("off", "on", *EFFORTS) if can(each)]
        settings += [] if budgets is None else [budgets]
        raise UsageError(
            f"{model} cannot think as thinking={setting} says{why_not}",
            hint=f"it can: {', '.join(settings)}",
        )
    if setting == "off":
        return 0
    if setting.isdecimal():
        return int(setting)
    return decoding.max_thinking_tokens or rooms.get(setting, rooms["medium"])
