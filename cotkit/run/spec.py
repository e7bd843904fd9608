"""What a user asks of a run, as one value that can be stored and run again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from cotkit.errors import UsageError
from cotkit.identity import canonical_json
from cotkit.registry import split_specs
from cotkit.types import LATER

GIVEN_IN_PYTHON = "(given in Python)"
"""The model of a spec whose backend was an object: only Python can run it again."""

CONFIRM = (
    "--confirm-run-unsafe-code: walls of the kernel keep it from files, answers, keys and network;"
    " a container is the boundary for hostile code"
)
"""What a refusal to run code of a model says to do."""
SANDBOXES = ("auto", "bwrap", "kernel", "docker", "podman", "none")
DEFAULT_LOG_DIR = Path("logs")
DEFAULT_STRATEGY = "cot"
DEFAULT_BENCH = "gsm-mini"
DEFAULT_LIMIT = 200
"""Problems drawn when the user names no limit (all, where the benchmark has fewer)."""


def check_sandbox(kind: str) -> str:
    """Return the name of a sandbox, without a container's image.

    Raises:
        UsageError: there is no such sandbox.
    """
    name, colon, image = kind.partition(":")
    if name not in SANDBOXES or (colon and (name not in {"docker", "podman"} or not image)):
        raise UsageError(f"sandbox {kind}?", hint=f"{', '.join(SANDBOXES)}, docker:IMAGE")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is made and judged: all options of ``compare``, ``plan`` and ``scale``.

    The only place that holds their defaults. :class:`RunKeywords` repeats names and types for type
    checkers; a test compares the two.
    """

    baseline: str | None = None
    """What to measure every strategy against; ``chance``: what guessing solves, which is exact and
    is not run; None: each strategy's own control."""
    limit: int | Literal["all"] | None = None
    """How many problems, the same in every arm; None: 200, or all where there are fewer."""
    seed: int = 0
    """Which problems are drawn, and the base seed of sampled decoding."""
    exemplars: str = "builtin:8"
    """``builtin:K``, ``train:K``, ``rest:K`` or ``FILE.jsonl:K``."""
    exemplar_seed: int = 0
    """Which exemplars are drawn, and in which order; of the built-in ones, the order only."""
    system: str | None = None
    """What every request begins with, as a system message; a raw-text model reads it first."""
    judge: str | None = field(default=None, metadata=LATER)
    """The model that judges where a strategy asks for it, ``NAME`` or ``NAME:key=value``; None: the
    model itself."""
    reader: str = "flexible"
    """The reader that decides what is correct; ``math-verify`` is stored with its version."""
    margin: float = 0.02
    """Smallest gain that counts as material, a fraction in (0, 1)."""
    run_unsafe_code: bool = False
    """Whether strategies may have code run that a model wrote."""
    sandbox: str = "auto"
    """What keeps such code from files, network and processes: ``auto``, ``bwrap``, ``kernel``,
    ``docker``, ``podman`` (with an image: ``docker:IMAGE``), or ``none``."""
    model_args: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields of the backend, as text: ``dtype``, ``batch_size``, ``chat``, ..."""
    generation: Mapping[str, str] = field(default_factory=dict[str, str])
    """Strategy parameters, as text, for every arm that has them: ``max_tokens``, ..."""
    thinking: str | None = None
    """How every arm thinks that does not say so itself: ``off``, ``on``, an effort or a budget in
    tokens; None: as the model does by itself."""
    max_thinking_tokens: int | None = None
    """The most tokens of thinking of one completion, beside those of its answer; None: generous, by
    effort."""
    stop_when: Literal["decided"] | None = None
    """``decided``: stop as soon as no verdict can change, by intervals that allow for looking at
    any time; None: every problem."""
    likelihood: bool = False
    """Whether to ask for the log-probability of gold answers that are numbers or have no options,
    too: a call for each attempt. Options of other questions are weighed wherever a model can."""
    batch: bool = False
    """Whether to send through the provider's batch interface: cheaper, within a day."""
    tag: str | None = None
    """A word of yours for the run, in ``cotkit list runs``; it changes nothing else. None: none."""

    def __post_init__(self) -> None:
        """Refuse what no run can mean.

        Raises:
            UsageError: names the option.
            MissingDependencyError: the reader math-verify is not installed.
        """
        if self.reader != "flexible":  # importing the readers takes longer than all of the help
            from cotkit.scoring.readers import resolve_reader

            object.__setattr__(self, "reader", resolve_reader(self.reader))
        if not 0 < self.margin < 1:
            raise UsageError(
                f"margin {self.margin} is not between 0 and 1",
                hint="0.02 is two points; the command line takes points, --margin 2",
            )
        if self.limit not in {None, "all"} and not isinstance(self.limit, int):
            raise UsageError(f"limit {self.limit!r} is not a number", hint="a number, or all")
        if isinstance(self.limit, int) and self.limit < 1:
            raise UsageError(f"limit {self.limit} is below 1", hint="a number, or all")
        check_sandbox(self.sandbox)
        self._check_thinking()
        if self.system is not None and not self.system.strip():
            raise UsageError("the system message is empty", hint="leave it out")
        if self.stop_when not in {None, "decided"}:
            raise UsageError(f"stop when {self.stop_when!r}?", hint="decided")
        self._check_watched()
        if self.batch and self.stop_when:
            raise UsageError(
                "a batch sends everything at once: there is nothing to stop",
                hint="leave out --batch or --stop-when",
            )

    def _check_watched(self) -> None:
        if self.stop_when is None:
            return
        from cotkit.scoring.chance import CHANCE

        if self.baseline == CHANCE:
            raise UsageError(
                "stop when decided: chance is no arm that could be watched",
                hint="leave out --stop-when, or --baseline chance",
            )

    def _check_thinking(self) -> None:
        if self.thinking is None and self.max_thinking_tokens is None:
            return
        from cotkit.strategies._base import check_thinking

        try:
            check_thinking(self.thinking, self.max_thinking_tokens)
        except ValueError as refused:
            raise UsageError(f"--{str(refused).replace('_', '-')}") from None


class RunKeywords(TypedDict, total=False):
    """The fields of :class:`RunOptions`, for type checkers of calls with keyword arguments."""

    baseline: str | None
    limit: int | Literal["all"] | None
    seed: int
    exemplars: str
    exemplar_seed: int
    system: str | None
    judge: str | None
    reader: str
    margin: float
    run_unsafe_code: bool
    sandbox: str
    model_args: Mapping[str, str]
    generation: Mapping[str, str]
    thinking: str | None
    max_thinking_tokens: int | None
    stop_when: Literal["decided"] | None
    likelihood: bool
    batch: bool
    tag: str | None


DEFAULTS = RunOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec(RunOptions):
    """One comparison with its options, as it is stored. Strings are as the user wrote them."""

    model: str
    """Catalogue name, ``backend/name``, hub id, folder or ``.gguf`` file."""
    bench: str = DEFAULT_BENCH
    """Benchmark spec, or a path to a JSONL file."""
    strategies: tuple[str, ...] = (DEFAULT_STRATEGY,)
    """Strategy specs, at least one."""
    exemplar_seeds: tuple[int, ...] = ()
    """Several draws in place of the one, at least two; empty: ``exemplar_seed`` alone."""
    sample_seeds: tuple[int, ...] = field(default=(), metadata=LATER)
    """Several seeds of sampled decoding on the same problems; empty: ``seed`` alone."""
    assume: Literal["sustained"] | None = None
    """What a ladder assumes of help over size, chosen before its runs; None: nothing."""

    def __post_init__(self) -> None:
        """Refuse what no run can mean.

        Raises:
            UsageError: names the field.
        """
        RunOptions.__post_init__(self)
        if not self.strategies:
            raise UsageError("no strategy given", hint="cotkit list strategies")
        if self.has_draws and self.stop_when:
            raise UsageError(
                "each draw would stop at other problems, and no interval over draws holds then",
                hint="leave out --exemplar-seeds and --sample-seeds, or --stop-when",
            )
        for kind, seeds in (("exemplar", self.exemplar_seeds), ("sample", self.sample_seeds)):
            if len(seeds) == 1 or len(set(seeds)) < len(seeds):
                raise UsageError(
                    f"{kind} seeds {seeds} are not two or more different ones",
                    hint="one draw shows no variance between draws: 0,1,2,3,4",
                )

    @property
    def has_draws(self) -> bool:
        """Whether several seeds are given."""
        return bool(self.exemplar_seeds or self.sample_seeds)

    def draws(self) -> dict[str, RunSpec]:
        """Return name -> spec of each draw of exemplars and samples; without seeds one, unnamed."""
        base = replace(self, exemplar_seeds=(), sample_seeds=())
        specs: dict[str, RunSpec] = {}
        for exemplar_seed in self.exemplar_seeds or (None,):
            for sample_seed in self.sample_seeds or (None,):
                names = {"exemplar seed": exemplar_seed, "sample seed": sample_seed}
                name = ", ".join(f"{k} {seed}" for k, seed in names.items() if seed is not None)
                draw = base if exemplar_seed is None else replace(base, exemplar_seed=exemplar_seed)
                if sample_seed is not None:
                    draw = replace(draw, generation={**base.generation, "seed": str(sample_seed)})
                specs[name] = draw
        return specs

    def paced(self, pace: Mapping[str, str]) -> RunSpec:
        """Return the same run with other settings of how fast its backend is asked."""
        return replace(self, model_args={**self.model_args, **pace})

    def to_json(self) -> str:
        """Return the canonical JSON of the spec."""
        return canonical_json(self)

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Return the spec that :meth:`to_json` wrote.

        Raises:
            UsageError: another version of cotkit wrote it.
        """
        values: dict[str, Any] = json.loads(text)
        try:
            values["strategies"] = tuple(values["strategies"])
            for name in ("exemplar_seeds", "sample_seeds"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except (TypeError, KeyError) as other:
            raise UsageError(
                f"this run's specification was written by another version of cotkit ({other})",
                hint="give the compare command again: what is done is not made again",
            ) from other


def list_specs(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return one spec for each name and combination of values in one text or several.

    The path of a file that exists is one name, also with commas in it.
    """
    return tuple(
        spec
        for text in ([texts] if isinstance(texts, str) else texts)
        for spec in ([text] if _names_file_with_comma(text) else split_specs(text))
    )


def _names_file_with_comma(text: str) -> bool:
    path = text.partition(":")[0]
    try:
        return "," in path and Path(path).is_file()
    except OSError:  # more names than a path may have characters
        return False
