"""Every value that crosses a border between two packages: read this file first.

What is done with them (strategy, backend, benchmark) is in ``cotkit/protocols.py``.

Values are frozen. The flow is ``Problem -> Question -> Request -> Completion -> Attempt -> Score``;
a strategy is a generator that yields requests and is sent completions, so it never sees a backend,
a store, or the gold answer (:class:`Question` has none).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

AnswerKind = Literal["number", "choice", "text", "expression"]
"""What a gold answer is: an exact number, one of the question's choices, free text, or an
expression in LaTeX (read and compared by math-verify, extra ``math``)."""

Role = Literal["system", "user", "assistant"]

StopReason = Literal["stop", "length", "refusal"]
"""Why a completion ended: end token or stop rule; the token limit; the provider refused."""

Outcome = Literal["correct", "wrong", "unparsed", "truncated", "refused", "failed"]
"""What became of an attempt. ``failed`` (the backend gave nothing) is never in a denominator."""

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "unparsed", "truncated", "refused", "failed")
"""Every outcome, in the order in which reports print them."""

Capability = Literal["generate", "loglikelihood", "chat", "sampling"]
"""``loglikelihood``: requests with ``options``; see ``protocols.LikelihoodBackend``."""

LATER: Mapping[str, bool] = {"is_left_out_at_default": True}
"""``metadata`` of a field that came after results were stored: at its default it is in no hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a strategy may see of a problem: never the gold answer."""

    id: str
    """Unique in its benchmark and stable over versions, e.g. ``"gsm8k/test/17"``."""
    text: str
    """The problem in words, without any ``Q:`` or instruction."""
    choices: tuple[str, ...] = ()
    """The options, in the order shown; empty unless the benchmark is multiple choice."""
    answer_kind: AnswerKind = "number"
    """Which answer the question asks for; the answer instruction follows it."""
    language: str | None = field(default=None, metadata=LATER)
    """Code of the language that it is written in (``de``); None: English."""


class TaskReader(Protocol):
    """A reader that a problem brings: as the tool that its task was written for would read it."""

    def read(self, texts: tuple[str, ...]) -> str | None:
        """Read the value to compare from one raw text, or all samples of a vote; None: nothing."""
        ...

    def is_correct(self, value: str) -> bool:
        """Return whether a value that was read is right."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One item of a benchmark: a question and its exact reference."""

    question: Question
    """The part that strategies see."""
    gold: str
    """The gold answer in canonical form: for numbers plain digits (``"-1234.5"``, ``"1/3"``)."""
    rationale: str | None = None
    """The benchmark's own worked solution, without the answer line; None if it has none."""
    n_steps: int | None = None
    """How many reasoning steps the worked solution takes (at least 1); None if unknown."""
    cluster: str | None = None
    """Problems that share this name are not independent (templates); None: on its own."""
    also: tuple[str, ...] = ()
    """Other answers that count as correct, each written as ``gold`` is; empty: only ``gold``."""
    options: tuple[str, ...] = ()
    """Answers that a model may be asked to weigh by log-probability, beside what it writes; empty:
    the question's choices."""
    option_scores: tuple[float, ...] = ()
    """What each of the options is worth, in their order; empty: ``gold`` 1, others 0."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the benchmark says of the problem, for tables by group (``{"category": "age"}``)."""
    readers: Mapping[str, TaskReader] = field(default_factory=dict[str, TaskReader])
    """Readers of the task's own, by name, the same in all its problems; they join the panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """A worked example shown in a prompt."""

    question: str
    """The question in words."""
    rationale: str
    """The written reasoning, ending before the answer line; no ``The answer is``. Empty: none was
    written, so only strategies that show none can use it."""
    answer: str
    """The answer as it should be written after ``The answer is``, e.g. ``"39"``."""
    language: str | None = field(default=None, metadata=LATER)
    """Code of the language that it is written in (``de``); None: English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a prompt. A raw-text model reads the contents joined with nothing between."""

    role: Role
    """Who speaks; chat models get it through their template, raw-text models do not see it."""
    content: str
    """The words, with any separating newline of the raw-text form included."""


EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""How much a model may be told to think, in the words of its providers; least first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How the next tokens are chosen and where they stop. All of it is part of the identity."""

    max_tokens: int
    """The most tokens of one completion's answer, at least 1; thinking has a limit of its own."""
    temperature: float = 0.0
    """0 is greedy; above 0 samples."""
    top_p: float = 1.0
    """Nucleus mass in (0, 1]; 1 is off."""
    top_k: int = 0
    """Sample among the k likeliest tokens; 0 is off."""
    stop: tuple[str, ...] = ()
    """The text ends before the first occurrence of any of these."""
    stop_after: str | None = None
    """A regular expression; the text ends after its first match. None: no such rule."""
    seed: int | None = None
    """Base seed of sampled decoding; None when greedy."""
    thinking: str | None = field(default=None, metadata=LATER)
    """Whether the model thinks before it answers: ``off``, ``on``, one of :data:`EFFORTS`, or a
    budget in tokens as digits; None: as the model does by itself."""
    max_thinking_tokens: int | None = field(default=None, metadata=LATER)
    """The most tokens of thinking beside the answer's, at least 1; None: the backend's habit."""
    n_waits: int = field(default=0, metadata=LATER)
    """How often the end of a thought is replaced by "Wait", so that it goes on (local models)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a model, by content: two equal requests share their completions.

    With ``options`` nothing is generated: each option is scored as a continuation, and the
    completions come back one for each option, in order, each with its ``logprob``.
    """

    messages: tuple[Message, ...]
    """The conversation so far; a last message of role ``assistant`` is to be continued."""
    decoding: Decoding
    """How to generate."""
    samples: tuple[int, ...] = (0,)
    """Indices of the independent draws wanted (of ``options``: one for each, from 0); the
    completions come back in this order."""
    options: tuple[str, ...] = ()
    """Continuations to be scored, leading space included; empty: generate."""
    role: Literal["model", "judge"] = field(default="model", metadata=LATER)
    """Who is asked: the model of the run, or its judge, which is the same model unless the run
    names another. It is in no key: another judge is another backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Python code that a strategy wants run, apart from this process, with limits.

    The flow is sent one completion: what the code printed (``stop``), or nothing, with the reason
    it was ended in ``error``. Runs only where the user allowed it.
    """

    code: str
    """Source; what it prints is the result."""
    timeout_s: float = 5.0
    """Wall time it may take."""
    memory_bytes: int = 512 * 1024 * 1024
    """Address space it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One call to a server, answered or not."""

    status: str
    """HTTP status (``"200"``, ``"429"``), or ``timeout``, ``reset``, ``malformed``, ``hedged``."""
    seconds: float
    """From sending to the answer or to giving up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One text that a model gave back, and what it took. Token counts never include padding."""

    text: str
    """The model's words, cut by the request's stop rules, reasoning split off."""
    stop_reason: StopReason
    """Why it ended."""
    n_prompt_tokens: int | None = None
    """Tokens of the rendered prompt; None where the backend cannot tell."""
    n_shared_tokens: int = 0
    """Of the prompt tokens, how many were served from a cache or a shared prefix."""
    n_cache_write_tokens: int = 0
    """Of the prompt tokens, how many a provider wrote to its cache at an extra price."""
    n_generated_tokens: int | None = None
    """Tokens generated, reasoning included, up to the stop; None where unknown."""
    n_reasoning_tokens: int | None = None
    """Of the generated tokens, how many were reasoning kept apart; None where unknown."""
    reasoning: str | None = None
    """Reasoning that the model kept apart (``<think>`` or a provider's field); None: none."""
    seconds: float = 0.0
    """Share of the backend's wall time this completion took, in seconds."""
    logprob: float | None = None
    """Natural log-probability of ``text`` given the prompt, summed over its tokens; None: not
    asked."""
    served_by: str | None = None
    """The model and version that a server said had answered; None: it did not say."""
    sent: Mapping[str, str | int | float | bool | list[str]] = field(
        default_factory=dict[str, str | int | float | bool | list[str]]
    )
    """Parameters that went over the wire, apart from the messages; empty for local models."""
    tries: tuple[Try, ...] = ()
    """Every call that this completion took, the last one answered; empty for local models."""
    error: str | None = None
    """Why an :class:`Execute` gave nothing, in one sentence; None for a model's completion."""
    why_empty: str | None = None
    """Why a server's answer has no text: ``tool: NAME`` (the model called one), ``filter: WORDS``
    (the server's, on a prompt that its filter refused); None: it has one, or nobody said."""
    server: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """What the server said of itself: ``engine``, ``version``, ``window``, ``slots``."""
    cut: Literal["prompt", "answer"] | None = None
    """What a server says that its window had no room for; None: it says nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a strategy made of one question: the text that the readers read."""

    text: str
    """Ends in the answer; the answer cue is included where the prompt spoke it."""
    stop_reason: StopReason
    """Of the completion that should hold the answer."""
    drafts: tuple[Attempt, ...] = ()
    """Other answers, in order: earlier rounds, or all the samples of a vote (no drafts within)."""
    is_vote: bool = False
    """Whether the answer is the plurality of what is read in ``drafts`` (``text``: the first)."""
    note: str | None = None
    """Why there is no answer, in one sentence; None: nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader found in a text."""

    value: str | None
    """The answer in canonical form (see ``Problem.gold``); None: nothing readable."""
    rule: str
    """The name of the rule that fired, e.g. ``"answer-line"``; ``"none"`` if none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """An attempt compared with the gold answer by every reader of the panel."""

    outcome: Outcome
    """By the reader that the run chose."""
    readings: Mapping[str, Reading]
    """Reader name -> what it read."""
    correct_by: Mapping[str, bool]
    """Reader name -> whether its reading equals the gold answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """Everything about a backend that can change a completion, and what is known of its model."""

    backend: str
    """Registry name: ``hf``, ``openai``, ``simulated``, ..."""
    model: str
    """The model as reports name it."""
    fingerprint: str
    """Resolved revision or hash of the weights; never empty."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Whatever else can change a completion: base URL, dtype, device, engine, chat template."""
    family: str | None = None
    """Models that differ in size only, by intent; None if unknown."""
    n_params: int | None = None
    """Total parameters; None if unknown."""
    n_active_params: int | None = None
    """Parameters used per token (smaller than ``n_params`` for mixtures); None if unknown."""
    capabilities: frozenset[Capability] = frozenset({"generate"})
    """What the backend can do."""
    deterministic: bool = False
    """Whether the same request always gives the same text."""
    context_tokens: int | None = None
    """Context window, prompt and completion together; None if unknown."""
    max_concurrency: int | None = None
    """How many requests may wait at once; None: as many as there are."""


Notify: TypeAlias = Callable[[str], None]
"""How a backend says something a user should read while it works (one plain sentence)."""


def say_nothing(_sentence: str) -> None:
    """Do nothing: the `Notify` of a caller who wants no notes."""


Flow: TypeAlias = Generator[Request | Execute, tuple[Completion, ...], Attempt]
"""A strategy at work on one question: yields requests, is sent completions, returns."""

IsCorrect: TypeAlias = Callable[[str], bool]
"""An oracle: whether a text would be scored correct. Only an upper bound may ask it."""
