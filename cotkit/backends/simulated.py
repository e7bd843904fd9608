"""A model family with a planted skill curve: no weights, any size; for tests, docs and dry runs.

It answers each problem right with a probability that depends on its size and on whether the prompt
shows reasoning, so that every estimator can be asked for a truth that is known.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal, TypeAlias

from cotkit.errors import BackendError, TransientError
from cotkit.identity import content_hash, request_key
from cotkit.types import (
    BackendInfo,
    Completion,
    Decoding,
    Message,
    Problem,
    Question,
    Request,
)

FAMILY = tuple(
    f"simulated/{size}" for size in ("100m", "300m", "1b", "3b", "10b", "30b", "100b", "300b")
)
"""A ladder of it, as users name its models: half a decade from one to the next."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmbt])", re.IGNORECASE)
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_MAX_SLOPE = 50.0  # already a step; far above, exp() overflows
_SHARES = (
    *("direct", "reasoning", "floor", "ceiling", "fix", "break_", "biased", "unparsed", "failing"),
)
_EFFORT_TOKENS = {"minimal": 64, "low": 128, "medium": 256, "high": 512, "xhigh": 1024, "max": 2048}
_HALF_TOKENS = 128
_WRONG = "-987654321"  # the gold answer of no benchmark
_OTHER_DIGITS = str.maketrans("123456789", "567891234")
_RESULT = re.compile(r"(.*= ?\$?)([\d,./-]*\d)", re.DOTALL)  # of the last equation of a chain


@dataclass(kw_only=True)
class Simulated:
    """``simulated/7b``: a model of that many parameters.

    Solve rate of either mode: ``floor + (ceiling - floor) / (1 + exp(-slope * (log10 n - mid)))``
    with n in parameters, unless ``direct`` or ``reasoning`` plants a rate outright. Whether one
    problem is solved is drawn once per (model, problem, mode, sample), so runs repeat exactly.
    """

    problems: Sequence[Problem]
    """The problems with their gold answers: a simulator has to know them."""
    model: str = "7b"
    """Size label: a number and k, m, b or t."""
    direct: float | None = None
    """Planted solve rate of prompts without reasoning, 0..1; None: the curve."""
    reasoning: float | None = None
    """Planted solve rate of prompts with reasoning, 0..1; None: the curve."""
    direct_mid: float = 11.5
    """log10 parameters at which direct prompting is half way up."""
    reasoning_mid: float = 10.0
    """log10 parameters at which reasoning is half way up."""
    slope: float = 4.0
    """Steepness in 1/dex."""
    floor: float = 0.02
    """Solve rate of very small models."""
    ceiling: float = 0.9
    """Solve rate of very large models."""
    fix: float = 0.0
    """Share of the wrong answers that one round of review puts right, 0..1."""
    break_: float = 0.0
    """Share of the right answers that one round of review spoils, 0..1."""
    biased: float | None = None
    """Share of the wrong answers that name the stereotyped choice (tag ``biased``) where that is
    wrong, 0..1; None: no more often than any other."""
    unparsed: float = 0.0
    """Share of completions without any answer, 0..1."""
    failing: float = 0.0
    """Share of requests that fail with a transient error, 0..1; a failed one fails again."""
    latency_s: float = 0.0
    """Seconds each request waits."""
    chain_tokens: int = 60
    """Tokens that the reasoning before the answer takes, whatever its words; 0: there is none."""
    max_concurrency: int | None = None
    """How many requests may wait at once; None: as many as there are."""

    def __post_init__(self) -> None:
        """Check the size label and index the problems.

        Raises:
            ValueError: the label is not a size, or a field is out of range.
        """
        size = _SIZE.fullmatch(self.model)
        if size is None or not float(size[1]):
            raise ValueError(f"{self.model!r} is not a size such as 350m or 7b")
        for name in _SHARES:
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}, must be in 0..1")
        if not 0 <= self.slope <= _MAX_SLOPE:
            raise ValueError(f"slope is {self.slope}, must be in 0..{_MAX_SLOPE}")
        if self.max_concurrency is not None and self.max_concurrency < 1:
            raise ValueError(f"max_concurrency is {self.max_concurrency}, must be at least 1")
        self._n_params = round(float(size[1]) * _UNITS[size[2].lower()])
        self._gold: Mapping[str, Problem] = {show_question(p.question): p for p in self.problems}
        self._labels: Mapping[str, str] = {p.question.text: p.gold for p in self.problems}

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Fingerprint: the hash of everything planted."""
        planted: dict[str, object] = {
            name: value
            for name, value in vars(self).items()
            if name[0] != "_" and name not in {"problems", "max_concurrency", "latency_s"}
        }
        planted["golds"] = {question: p.gold for question, p in self._gold.items()}
        return BackendInfo(
            backend="simulated",
            model=f"simulated-{self.model.lower()}",
            fingerprint=content_hash("simulated", planted),
            family="simulated",
            n_params=self._n_params,
            n_active_params=self._n_params,
            capabilities=frozenset({"generate", "sampling"}),
            deterministic=True,
            max_concurrency=self.max_concurrency,
        )

    def thinking_room(self, decoding: Decoding) -> int:
        """Return how many tokens it thinks where it is told to: as many as asked, or by effort."""
        setting = decoding.thinking
        if setting is None or setting == "off":
            return 0
        n_asked = int(setting) if setting.isdecimal() else _EFFORT_TOKENS.get(setting, 256)
        return min(n_asked, decoding.max_thinking_tokens or n_asked)

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Complete every sample.

        Raises:
            TransientError: with the planted probability.
            BackendError: the prompt asks a question that is not of the benchmark.
        """
        await asyncio.sleep(self.latency_s)
        key = request_key(request)
        if self._draw("failing", key, 0) < self.failing:
            raise TransientError("the simulated provider failed, as planted")
        return tuple(self._complete(request, key, sample) for sample in request.samples)

    async def count_tokens(self, request: Request) -> int | None:
        """Count the words of the prompt."""
        return sum(len(message.content.split()) for message in request.messages)

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def solve_rate(self, *, reasons: bool) -> float:
        """Return the planted solve rate of prompts with or without reasoning, 0..1."""
        planted = self.reasoning if reasons else self.direct
        if planted is not None:
            return planted
        mid = self.reasoning_mid if reasons else self.direct_mid
        height = 1 / (1 + math.exp(-self.slope * (math.log10(self._n_params) - mid)))
        return self.floor + (self.ceiling - self.floor) * height

    def _complete(self, request: Request, key: str, sample: int) -> Completion:
        if len(request.messages) == 1 and (prompt := read_labels(request.messages[0].content)):
            words = [self._label(prompt, sample)]
            return self._make_completion(request, words, self.thinking_room(request.decoding))
        turn = read_turn(request.messages)
        problem = self._gold.get(turn.question) if turn.question is not None else None
        if problem is None:
            raise BackendError("simulated models know only the questions of the benchmark")
        n_thought = self.thinking_room(request.decoding)
        if self._draw("unparsed", key, sample) < self.unparsed:
            words = ["I", "cannot", "say."]
        elif turn.kind == "review":
            words = self._review(turn, problem, sample)
        elif turn.kind == "work":
            words = self._work(request.messages[-1].content, problem, sample).split(" ")
        else:
            answer = self._answer(turn, problem, sample, n_thought)
            words = self._words(turn, problem, answer)
        return self._make_completion(request, words, n_thought)

    def _make_completion(self, request: Request, words: list[str], n_thought: int) -> Completion:
        words_in_limit = words[: request.decoding.max_tokens]
        return Completion(
            text=" " + " ".join(filter(None, words_in_limit)),
            stop_reason="stop" if len(words_in_limit) == len(words) else "length",
            n_prompt_tokens=sum(len(message.content.split()) for message in request.messages),
            n_generated_tokens=len(words_in_limit) + n_thought,
            n_reasoning_tokens=n_thought or None,
            reasoning=" ".join(["hm"] * n_thought) or None,
            seconds=self.latency_s,
        )

    def _label(self, prompt: LabelPrompt, sample: int) -> str:
        """Answer in the labels shown, or in those that the model knows.

        Every size knows a share of the labels, the ceiling, and guesses the others. It follows the
        exemplars with the chance of solving by reasoning: small models keep to what they know,
        large ones do as most exemplars of that label do.
        """
        gold = self._labels.get(prompt.text)
        if gold is None:
            raise BackendError("simulated models know only the questions of the benchmark")
        natural = sorted({self._labels.get(text, label) for text, label in prompt.exemplars})
        knows = (1 + self.ceiling) / 2
        believed = gold
        if self._draw("label", prompt.text, sample) >= knows:
            believed = next((label for label in natural if label != gold), gold)
        if self._draw("follow", prompt.text, sample) >= self.solve_rate(reasons=True):
            return believed
        answers = [x for text, x in prompt.exemplars if self._labels.get(text, x) == believed]
        return max(sorted(set(answers)), key=answers.count) if answers else believed

    def _words(self, turn: SimulatedTurn, problem: Problem, answer: str) -> list[str]:
        words: list[str] = []
        if turn.reasons and turn.kind != "extract" and (n := self.chain_tokens):
            chain = tell_steps(problem, answer).split()
            words = [
                " ".join(chain[i * len(chain) // n : (i + 1) * len(chain) // n]) for i in range(n)
            ]
            words += f"This gives {answer}.".split()
        return (
            [*words, f"{answer}."] if turn.cued else [*words, *f"The answer is {answer}.".split()]
        )

    def _review(self, turn: SimulatedTurn, problem: Problem, sample: int) -> list[str]:
        """Write a review that finds fault exactly when the next turn changes what is right."""
        was = turn.before == possible_answers(problem, wrong_answer(problem))[0]
        verdict = "correct" if self._is_right_after(turn, problem, sample) == was else "wrong"
        words = f"I went over it and found it {verdict}.".split()
        return [*words, "\nVERDICT:", verdict] if turn.wants_verdict else [*words]

    def _work(self, prompt: str, problem: Problem, sample: int) -> str:
        """Write what is neither an answer nor a review: a list, a step, a choice, a score, code.

        A choice is the commonest answer. A score tells right from wrong as often as the model
        knows: always where it solves all by reasoning, by chance where it solves nothing.
        """
        label = prompt[prompt.rfind("\n") + 1 : -1]
        if label == "A":
            turn = read_turn((Message(role="user", content=prompt),))
            answer = self._answer(replace(turn, reasons=True), problem, sample, 0)
            return f"\ndef solution():\n    return {answer}"
        if label in _LISTS:
            n_lines = int(match[1]) if (match := _COUNT.search(prompt)) else 2
            return "\n".join(["", *(f"{i + 1}. Part {i + 1}" for i in range(n_lines))])
        if label == "Choice":
            answers = [x[1] for x in map(_ANSWER_LINE.search, _CANDIDATE.split(prompt)[1:]) if x]
            common = max(answers, key=answers.count, default="")
            return str(answers.index(common) + 1 if answers else 1)
        if label != "Score":
            return f"thus part {self._draw('part', prompt, sample):.6f}."
        drawn = self._draw("score", prompt, sample)
        candidate = _ANSWER_LINE.search(prompt.partition("\nProposed answer:")[2])
        if candidate is None:
            return str(1 + int(10 * drawn))
        is_right = candidate[1] == possible_answers(problem, _WRONG)[0]
        is_seen = drawn < (1 + self.solve_rate(reasons=True)) / 2
        return "9" if is_right is is_seen else "2"

    def _answer(self, turn: SimulatedTurn, problem: Problem, sample: int, n_thought: int) -> str:
        if turn.kind == "extract" and turn.before is not None:
            return turn.before
        if turn.kind == "improve":
            right = self._is_right_after(turn, problem, sample)
        else:
            mode = "reasoning" if turn.reasons or n_thought else "direct"
            drawn = self._draw(mode, problem.question.id, sample)
            right = drawn < self._rate(turn, n_thought)
        best, *others = possible_answers(problem, wrong_answer(problem))
        if right:
            return best
        if self.biased is not None and (stereotype := f"({problem.tags.get('biased')})") in others:
            follows = self._draw("biased", problem.question.id, sample) < self.biased
            others = [choice for choice in others if (choice == stereotype) is follows]
        return others[int(self._draw("wrong", problem.question.id, sample) * len(others))]

    def _rate(self, turn: SimulatedTurn, n_thought: int) -> float:
        """Return the solve rate of a turn: half of what reasoning is worth by 128 tokens of it."""
        own = self.solve_rate(reasons=turn.reasons)
        share = 1 - 2 ** (-n_thought / _HALF_TOKENS)
        return own + share * max(0.0, self.solve_rate(reasons=True) - own)

    def _is_right_after(self, turn: SimulatedTurn, problem: Problem, sample: int) -> bool:
        """Draw whether this round's improved answer is right; once per round, as planted."""
        drawn = self._draw("correction", problem.question.id, turn.round, sample)
        was = turn.before == possible_answers(problem, wrong_answer(problem))[0]
        return drawn >= self.break_ if was else drawn < self.fix

    def _draw(self, *what: object) -> float:
        """Return a number in [0, 1) that depends on the model's label and ``what`` alone."""
        return int(content_hash("simulated", [self.model, *what])[:13], 16) / 16**13


# Reading a prompt: its question, the kind of turn, the answer before it.


_LABELLED = re.compile(r"(?:^|\n\n)Input: (.*?)\nOutput:(.*?)(?=\n\nInput: |$)", re.DOTALL)
_REASONS = re.compile(r"^A: (?!The answer is|\.\.\.)\S|only a draft of", re.MULTILINE)
_NATIVE = re.compile(r"of the form: (?!The answer is)\S")  # answer lines in another language
_NATIVE_REASONS = re.compile(r"^A: (?![^\d\n]{1,60}[\d.,]+$|\.\.\.)\S", re.MULTILINE)
_LISTS = frozenset({"Smaller questions", "Checks", "Skeleton"})
_LABELS = r"Smaller questions|Principle|Checks|Finding|Skeleton|Point \d+|Next step|Choice|Score"
_OTHER_LABELS = r"A|Smaller question|Check|Steps so far|Proposed answer"
_WORK = re.compile(rf"\n(?:{_LABELS}):\Z")  # how our prompts for parts of an answer end
_PROGRAM = re.compile(r"\ndef solution\(\):\n.*\nA:\Z", re.DOTALL)
_QUESTION = re.compile(
    rf"^Q: (.*?)\n(?:(?:{_LABELS}|{_OTHER_LABELS}):|Now the )", re.MULTILINE | re.DOTALL
)
_COUNT = re.compile(r"(?:up to|question:) (\d+) ")  # of the lines of a list
_CANDIDATE = re.compile(r"^Answer \d+: ", re.MULTILINE)
_CHAIN_RESULT = re.compile(r".*\bgives (.+?)\.(?= The answer is|$)", re.DOTALL)
_ANSWER_LINE = re.compile(r"[Tt]he answer is ([^\n]+?)\.(?=\s|$)")
_CUE = re.compile(r"[Tt]he answer is$")
_REVIEW = re.compile(r"\n(?:Problems|Feedback):$")  # how our review prompts end
_IMPROVE = re.compile(r"\nA:$")
_VERDICT = re.compile(r"VERDICT: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPrompt:
    """A prompt of exemplars with labels, and a text without."""

    exemplars: tuple[tuple[str, str], ...]
    """Text and label of each."""
    text: str
    """The text asked."""


def read_labels(prompt: str) -> LabelPrompt | None:
    """Read a prompt of the label experiments; None: it is none."""
    pairs = _LABELLED.findall(prompt) if prompt.endswith("\nOutput:") else []
    if not pairs or any(label for _, label in pairs[-1:]):
        return None
    exemplars = tuple((text, label.strip()) for text, label in pairs[:-1])
    return LabelPrompt(exemplars=exemplars, text=pairs[-1][0])


TurnKind: TypeAlias = Literal["answer", "extract", "review", "improve", "work"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTurn:
    """A request as the simulator understands it."""

    kind: TurnKind
    """First answer; answer to the reasoning before it; review of an answer; answer after that; part
    of an answer: a list, a step, a choice, a score, code."""
    question: str | None
    """The words of the last question of the first message; None if it asks none."""
    reasons: bool
    """Whether the prompt shows or begins reasoning."""
    cued: bool
    """Whether the prompt ends in ``The answer is``."""
    before: str | None
    """The answer being extracted, reviewed or improved; None if there is none to be read."""
    round: int
    """Which round of correction, from 1; 0 outside of corrections."""
    wants_verdict: bool
    """Whether a review has to end in a line ``VERDICT: ...``."""


def read_turn(messages: Sequence[Message]) -> SimulatedTurn:
    """Read a conversation by who speaks in which order and by how the last prompts end.

    A system message changes nothing: the planted curve knows no words.
    """
    messages = [message for message in messages if message.role != "system"]
    questions = _QUESTION.findall(messages[0].content)
    kind = _turn_kind(messages)
    last = messages[-1].content
    prompts = "".join(message.content for message in messages[:2])
    reasons = _NATIVE_REASONS if _NATIVE.search(prompts) else _REASONS
    return SimulatedTurn(
        kind=kind,
        question=questions[-1] if questions else None,
        reasons=reasons.search(prompts) is not None,
        cued=_CUE.search(last) is not None,
        before=_before(messages, kind),
        round=len(messages) // 4 + (kind == "review") if kind in {"review", "improve"} else 0,
        wants_verdict=_VERDICT.search(last) is not None,
    )


def show_question(question: Question) -> str:
    """Write a question as our prompts do (``prompting``, which backends may not import)."""
    lines = [f"({x}) {c}" for x, c in zip(ascii_uppercase, question.choices, strict=False)]
    return "\n".join([question.text, *lines])


def possible_answers(problem: Problem, wrong: str) -> tuple[str, ...]:
    """Return the answers that a model may give, the right one first."""
    choices = problem.question.choices
    if problem.gold not in choices:
        return problem.gold, wrong
    letters = [f"({x})" for x, _ in zip(ascii_uppercase, choices, strict=False)]
    right = letters.pop(choices.index(problem.gold))
    return right, *letters


def wrong_answer(problem: Problem) -> str:
    """Return a wrong answer to a problem without choices: its own digits, mistaken."""
    gold = problem.gold
    if not re.fullmatch(r"-?\d[\d./]*", gold):
        return _WRONG
    wrong = gold.translate(_OTHER_DIGITS)
    return _WRONG if wrong in {gold, *problem.also} else wrong


def tell_steps(problem: Problem, answer: str) -> str:
    """Return the problem's own worked steps; the last result is mistaken where the answer is."""
    steps = problem.rationale or "Let us go through it step by step, one thing after the other."
    if answer == problem.gold or (result := _RESULT.match(steps)) is None:
        return steps
    return result[1] + result[2].translate(_OTHER_DIGITS) + steps[result.end() :]


def _turn_kind(messages: Sequence[Message]) -> TurnKind:
    users = [message.content for message in messages[::2]]
    takes_turns = all(m.role == ("user", "assistant")[i % 2] for i, m in enumerate(messages))
    if not messages[2:]:
        last = users[-1]
        return "work" if _WORK.search(last) or _PROGRAM.search(last) else "answer"
    if takes_turns and len(users) % 2 == 0 and _REVIEW.search(users[-1]):
        return "review"
    if takes_turns and len(users) % 2 and _REVIEW.search(users[-2]) and _IMPROVE.search(users[-1]):
        return "improve"
    return "extract"


def _before(messages: Sequence[Message], kind: str) -> str | None:
    if kind == "extract":
        match = _CHAIN_RESULT.search(messages[1].content)
        return match[1] if match else None
    if kind in {"answer", "work"}:
        return None
    reply = messages[-2 if kind == "review" else -4].content
    answers = _ANSWER_LINE.findall(reply)
    return answers[-1] if answers else None
