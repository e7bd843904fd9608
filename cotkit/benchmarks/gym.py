"""Any of the generators of ``reasoning-gym``: ``gym:chain_sum,max_terms=4`` or ``difficulty=2``."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotkit.errors import MissingDataError, MissingDependencyError, UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.registry import Spec, parse_integer
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question, TaskReader

_MAX_N = 10_000
_POOL_SIZE = 32
_RIGHT = 0.99
"""A score of the generator's own from here on is right: some give part of a point for form."""
_ANSWER = re.compile(r"(?i:the answer is):?[ \t]*(.+?)\s*\Z", re.DOTALL)

Config = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gym:
    """Problems of one generator, scored by its own rules; :func:`open_gym` makes it of a spec.

    The generator is another package's: the same seed gives the same problems only with the same
    release of it, so its version is part of this one's. Needs the extra ``gym``.
    """

    generator: str
    """Its name there, e.g. ``chain_sum``."""
    config: Config = ()
    """Its settings, e.g. ``(("max_terms", 4),)``."""
    seed: int = 0
    """Which problems."""
    n: int = 200
    """How many, 1..10000."""
    has_own_exemplars: typing.ClassVar[bool] = True
    """``builtin:K`` draws from the pool here: word problems would show another task."""

    @property
    def name(self) -> str:
        """``gym:`` and the generator."""
        return f"gym:{self.generator}"

    @property
    def version(self) -> str:
        """Reader version, release of the generators, settings."""
        settings = content_hash("gym", self.config)[:6]
        return f"1-gym{_release()}-{settings}-seed{self.seed}-n{self.n}"

    @property
    def answer_kind(self) -> AnswerKind:
        """``number`` where all answers are, else ``text``."""
        return self.problems()[0].question.answer_kind

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, in the order made; one that was made before is left out."""
        return _make_problems(self.generator, self.config, self.seed, self.n)[_POOL_SIZE:]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return up to 32 more, with a rationale where the generator writes one."""
        return _make_problems(self.generator, self.config, self.seed, self.n)[:_POOL_SIZE]


@dataclass(frozen=True, slots=True, kw_only=True)
class GymReader:
    """The generator's own scorer for one problem (a ``TaskReader``)."""

    generator: str
    config: Config
    seed: int
    size: int
    index: int
    """The problem's place."""

    def read(self, texts: tuple[str, ...]) -> str | None:
        """Return the answer of the first text: what follows the answer cue, else its last line."""
        text = texts[0].strip()
        match = _ANSWER.search(text)
        answer = match[1] if match else text.rpartition("\n")[2]
        return answer.removesuffix(".").strip().strip("`\"'") or None

    def is_correct(self, value: str) -> bool:
        """Return whether the generator's scorer gives the full point."""
        drawn = _draw(self.generator, self.config, self.seed, self.size)
        return float(drawn.score_answer(value, drawn[self.index])) >= _RIGHT


def open_gym(spec: Spec) -> Gym:
    """Return the generator that a spec names, with its settings.

    Raises:
        UnknownNameError: no such generator or setting.
        UsageError: a setting is out of range.
        MissingDependencyError: ``reasoning-gym`` is not installed.
    """
    params = dict(spec.params)
    generator = params.pop("generator", "").replace("-", "_")
    factory = _import_gym()
    if generator not in factory.DATASETS:
        raise UnknownNameError("generator of gym", generator, factory.DATASETS)
    numbers = {"seed": 0, "n": 200}
    for key in numbers.keys() & params.keys():
        numbers[key] = _read_value(key, params.pop(key), int)
    if not 1 <= numbers["n"] <= _MAX_N:
        raise UsageError(f"n is {numbers['n']}, must be 1 to {_MAX_N}")
    difficulty = params.pop("difficulty", None)
    kinds = typing.get_type_hints(factory.DATASETS[generator][1])
    names = {f.name for f in dataclasses.fields(factory.DATASETS[generator][1])} - {"seed", "size"}
    if unknown := params.keys() - names:
        names |= {"difficulty", "n", "seed"}
        raise UnknownNameError(f"parameter of gym:{generator}", min(unknown), names)
    config = {} if difficulty is None else _read_difficulty(factory, generator, difficulty)
    config |= {key: _read_value(key, text, kinds[key]) for key, text in params.items()}
    bench = Gym(generator=generator, config=tuple(sorted(config.items())), **numbers)
    bench.problems()  # so that a setting out of range is said before anything is asked
    return bench


def _read_difficulty(factory: Any, generator: str, text: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the settings of a level of the generator's curriculum, counted from 0."""
    level = _read_value("difficulty", text, int)
    if generator not in factory.CURRICULA:
        raise UsageError(f"gym:{generator} has no levels of difficulty", hint="its own settings")
    curriculum = factory.create_curriculum(generator)
    highest = max(len(attribute.levels) for attribute in curriculum.attributes.values()) - 1
    if not 0 <= level <= highest:
        raise UsageError(f"difficulty of gym:{generator} is {level}, must be 0 to {highest}")
    for name, attribute in curriculum.attributes.items():
        curriculum.set_attr_level(name, min(level, len(attribute.levels) - 1))
    config = dataclasses.asdict(curriculum.generate_configuration())
    return {key: _freeze(value) for key, value in config.items() if key not in {"seed", "size"}}


def _freeze(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _read_value(key: str, text: str, kind: object) -> Any:  # noqa: ANN401 - as the generator says
    kinds = typing.get_args(kind) or (kind,)
    try:
        if bool in kinds:
            return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
        if int in kinds:
            return parse_integer(text)
        return float(text) if float in kinds else text
    except (KeyError, ValueError):
        raise UsageError(f"{key}={text!r} is not as the generator takes it: {kind}") from None


def _import_gym() -> Any:  # noqa: ANN401 - of a package imported late
    try:
        import reasoning_gym  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        raise MissingDependencyError("reasoning-gym", "gym") from None
    return reasoning_gym.factory


def _release() -> str:
    try:
        return importlib.metadata.version("reasoning-gym")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError("reasoning-gym", "gym") from None


@functools.lru_cache(maxsize=8)
def _draw(generator: str, config: Config, seed: int, size: int) -> Any:  # noqa: ANN401 - as above
    settings = {key: list(x) if isinstance(x, tuple) else x for key, x in config}
    try:
        drawn = _import_gym().create_dataset(generator, seed=seed, size=size, **settings)
        _ = drawn[0]
    except (AssertionError, ValueError, TypeError, IndexError) as refused:
        reason = str(refused).splitlines()[0] if str(refused) else type(refused).__name__
        raise UsageError(f"gym:{generator}: {reason}", hint="settings out of range") from refused
    return drawn


@functools.lru_cache(maxsize=8)
def _make_problems(generator: str, config: Config, seed: int, n: int) -> tuple[Problem, ...]:
    size = n + _POOL_SIZE
    drawn = _draw(generator, config, seed, size)
    try:
        items: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for index in range(size):
            item = drawn[index]
            items.setdefault(str(item["question"]).strip(), (index, item))
        golds = [str(item["answer"]).strip() for _, item in items.values()]
    except (KeyError, TypeError, ValueError) as changed:
        raise MissingDataError(
            f"reasoning-gym makes something that cotkit cannot read: {changed!r}",
            hint="pip install 'reasoning-gym==0.1.25'",
        ) from changed
    numbers = [canonical_number(gold) for gold in golds]
    kind: AnswerKind = "number" if all(numbers) else "text"
    return tuple(
        Problem(
            question=Question(
                id=f"gym/{generator}/seed{seed}-n{n}/{index:05}", text=text, answer_kind=kind
            ),
            gold=(number if kind == "number" else None) or gold,
            rationale=str(item.get("metadata", {}).get("answer_cot", "")) or None,
            readers=_readers(generator, config, seed, size, index),
        )
        for (text, (index, item)), gold, number in zip(items.items(), golds, numbers, strict=True)
    )


def _readers(
    generator: str, config: Config, seed: int, size: int, index: int
) -> dict[str, TaskReader]:
    return {"gym": GymReader(generator=generator, config=config, seed=seed, size=size, index=index)}
