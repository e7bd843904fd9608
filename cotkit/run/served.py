"""What the stored answers of a server tell of the server: notes, and what it cut.

A prompt that was not seen whole, or an answer that the server had no room for, says nothing of the
model: such attempts are failed ones, left out of every rate. Local models are not looked at: their
answers are their own.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cotkit.errors import StoreError
from cotkit.printable import name_some
from cotkit.store import CUT, Store, StoredCall
from cotkit.types import BackendInfo, Completion

_SERVED = "model"  # the fact: what an answer says had made it
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SAMPLERS = frozenset({"top_p", "top_k", "min_p", "repetition_penalty", "repeat_penalty"})
_PENALTIES = frozenset({"repetition_penalty", "repeat_penalty"})
_MOST_CHARS_PER_TOKEN = 8.0  # of prompts of some length; English has 4 to 5
_MIN_CHARS = 800  # of a prompt that this is asked of
_MIN_CAPPED = 3  # prompts of different lengths that are counted alike
_MIN_SPREAD, _SURE_SPREAD = 40, 120  # characters between the shortest and the longest of these
_CAPPED_SHARE = 0.8  # of the prompts that are as long or longer
_DENSER = 1.05  # characters a token, against the most of the shorter prompts
_MIN_WINDOW = 200  # tokens: a smaller count of every prompt is none
_NEARLY = 0.98
_MOST_NAMED = 5  # problems in a note
_WINDOW_HINT = "Ollama: num_ctx; vLLM: --max-model-len; llama.cpp: -c"

_Shape = tuple[int, int]  # characters of a prompt, and the tokens that the server counted


def read_server(store: Store, run_id: str, info: BackendInfo) -> ServerRecord | None:
    """Return what the answers of a run tell of its server; None: it has none."""
    if "base_url" not in info.settings:
        return None
    record = ServerRecord(is_any_server=info.backend == "openai-api")
    for call in store.calls(run_id):
        record.add(call)
    record.judge_short_answers()
    if prompts := set(record.find_cut().certain):
        for call in store.calls(run_id):
            if (shape := _shape(call)) in prompts:
                record.leave_out(call.key, call.problem_id, _say_cut_prompt(shape))
    return record


def settle_server(store: Store, run_id: str, info: BackendInfo) -> ServerRecord | None:
    """Read a server as :func:`read_server` does, and make failed attempts of what it cut.

    A store that can only be read stays as it is.
    """
    record = read_server(store, run_id, info)
    if record is not None and record.cut:
        with contextlib.suppress(StoreError):
            store.fail_attempts(run_id, record.cut)
    return record


def explain_empty(completion: Completion) -> str | None:
    """Return why a server's answer has no text, in one sentence; None: it has, or nobody knows."""
    kind, _, words = (completion.why_empty or "").partition(": ")
    if kind == "tool":
        return f"the model called a tool ({words}) in place of an answer; none was offered"
    if kind == "filter":
        return f"the server's filter refuses the prompt: {words}"
    return None


@dataclass(frozen=True, slots=True)
class _ShortAnswer:
    """A completion that ended at its limit, by the server's word, with fewer tokens than that."""

    key: str
    problem_id: str
    n_prompt: int
    n_generated: int


@dataclass(slots=True)
class ServerRecord:
    """Counts over the completions of one run."""

    is_any_server: bool = False
    """Whether it may be a server of any kind, whose own defaults of sampling are not known."""
    cut: dict[str, str] = field(default_factory=dict[str, str])
    """Completion key -> why its attempts are left out, as their error."""
    _left_out: dict[str, None] = field(default_factory=dict[str, None])  # problems, in order
    _n: int = 0
    _n_empty: int = 0
    _n_thought: int = 0
    _short: list[_ShortAnswer] = field(default_factory=list[_ShortAnswer])
    _tools: Counter[str] = field(default_factory=Counter[str])
    _prompts: set[tuple[int, int, int]] = field(default_factory=set[tuple[int, int, int]])
    _facts: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    _first_of: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )
    _samplers: Counter[frozenset[str]] = field(default_factory=Counter[frozenset[str]])

    def add(self, call: StoredCall) -> None:
        """Count one completion."""
        completion = call.completion
        self._n += 1
        served = {_SERVED: completion.served_by} if completion.served_by else {}
        moment = (call.created_utc, call.problem_id)
        for name, value in (served | dict(completion.server)).items():
            self._facts.setdefault(name, Counter())[str(value)] += 1
            fact = (name, str(value))
            self._first_of[fact] = min(self._first_of.get(fact, moment), moment)
        temperature = completion.sent.get("temperature")
        if isinstance(temperature, float) and temperature > 0:
            self._samplers[_SAMPLERS.intersection(completion.sent)] += 1
        if completion.n_prompt_tokens:
            self._prompts.add((hash(call.prompt), *_shape(call)))
        self._add_empty(completion)
        if completion.cut is not None:
            what = "prompt" if completion.cut == "prompt" else "answer: its window was full"
            self.leave_out(call.key, call.problem_id, f"it says that it cut the {what}")
        elif completion.stop_reason == "length":
            self._add_short(call)

    def _add_empty(self, completion: Completion) -> None:
        if completion.text.strip() or completion.stop_reason == "refusal":
            return
        kind, _, words = (completion.why_empty or "").partition(": ")
        if kind == "tool":
            self._tools[words] += 1
        elif completion.reasoning:
            self._n_thought += completion.stop_reason == "stop" or not _is_at_limit(completion)
        else:
            self._n_empty += completion.stop_reason == "stop"

    def _add_short(self, call: StoredCall) -> None:
        completion = call.completion
        n_prompt, n_generated = completion.n_prompt_tokens, completion.n_generated_tokens
        if not n_prompt or not n_generated or _is_at_limit(completion) or "n" in completion.sent:
            return
        n_chars = len(completion.text) + len(completion.reasoning or "")
        if n_chars <= _MOST_CHARS_PER_TOKEN * n_generated:  # else some tokens are not counted
            self._short.append(_ShortAnswer(call.key, call.problem_id, n_prompt, n_generated))

    def judge_short_answers(self) -> None:
        """Leave out the answers that filled the server's window, or a limit of its own."""
        totals = [short.n_prompt + short.n_generated for short in self._short]
        window = max(totals, default=0)
        n_full = sum(total >= _NEARLY * window for total in totals)
        has_window = n_full >= _CAPPED_SHARE * len(totals)
        lengths = Counter(short.n_generated for short in self._short)
        own_limit, n_alike = next(iter(lengths.most_common(1)), (0, 0))
        has_limit = n_alike >= max(_MIN_CAPPED, _CAPPED_SHARE * len(self._short))
        for short, total in zip(self._short, totals, strict=True):
            if has_limit and short.n_generated == own_limit:
                reason = f"it ends answers at {own_limit:,} tokens"
            elif has_window and total >= _NEARLY * window:
                reason = f"its window of about {window:,} tokens was full"
            else:
                continue
            self.leave_out(short.key, short.problem_id, reason)

    def leave_out(self, key: str, problem_id: str, reason: str) -> None:
        """Leave the attempts that used a completion out of every rate."""
        self.cut.setdefault(key, f"{CUT}{reason}")
        self._left_out[problem_id] = None

    def find_cut(self) -> CutPrompts:
        """Return the prompts that seem to have been cut, by their counts."""
        windows = [int(text) for text in self._facts.get("window", ()) if text.isdecimal()]
        shapes = [(n_chars, n_tokens) for _, n_chars, n_tokens in self._prompts]
        return find_cut_prompts(shapes, min(windows, default=None))

    def facts(self) -> dict[str, str]:
        """Return what the server said of itself: ``model`` with fingerprint, ``window``, ..."""
        return {
            name: ", ".join(value for value, _ in counts.most_common())
            for name, counts in sorted(self._facts.items())
        }

    def notes(self) -> Iterator[str]:
        """Yield the notes."""
        if self._n_empty:
            yield f"{self._n_empty} of {self._n} answers were empty, when asked again, too"
        if self._n_thought:
            yield (
                f"{self._n_thought} of {self._n} answers came with no text while their reasoning "
                "field holds words: the server's reasoning parser may have kept the answer, or the "
                "model never left its thoughts; switch thinking off there (enable_thinking), or "
                "serve without a parser"
            )
        if self._tools:
            names = ", ".join(sorted(self._tools))
            yield (
                f"in {self._tools.total()} of {self._n} answers the model called a tool ({names}) "
                "in place of an answer, though none was offered; they count as unparsed"
            )
        yield from self._note_cut()
        yield from self._note_samplers()
        yield from self._note_changes()

    def _note_cut(self) -> Iterator[str]:
        cut = self.find_cut()
        if prompts := cut.certain or cut.suspected:
            longest, n_tokens = max(prompts)
            seems = "has" if cut.certain else "seems to have"
            yield (
                f"the server {seems} cut {len(prompts)} prompts: it counted {n_tokens:,} tokens "
                f"for one of {longest:,} characters, as for shorter ones, or fewer than it has; "
                "their answers are to a question that was not seen whole, and say nothing of the "
                f"model: give it a larger window ({_WINDOW_HINT})"
            )
        if n_unsure := len(self._short) - sum(short.key in self.cut for short in self._short):
            yield (
                f"{n_unsure} answers ended at their limit, as the server says, with fewer tokens "
                "than that by its own count; they count as truncated"
            )
        if self._left_out:
            names = list(self._left_out)
            reasons = Counter(reason.removeprefix(CUT) for reason in self.cut.values())
            yield (
                f"attempts at {len(names)} problems ({name_some(names, _MOST_NAMED)}) are "
                "left out as failed, for the server cut their prompts or answers (most: "
                f"{reasons.most_common(1)[0][0]}); the verdict with them for and against stands "
                "among the other ways of counting; with a larger window "
                f"({_WINDOW_HINT}) --retry-failed asks them again"
            )

    def _note_samplers(self) -> Iterator[str]:
        if len(self._samplers) > 1:
            names = ", ".join(sorted(frozenset().union(*self._samplers)))
            yield (
                f"some answers were sampled with {names} as the server has them, others with all "
                "of them sent: they were asked by different versions of cotkit"
            )
            return
        for sent in self._samplers:
            unsent = [name for name in ("top_p", "top_k", "min_p") if name not in sent]
            unsent += [] if sent & _PENALTIES else ["repetition_penalty"]
            if unsent and self.is_any_server:
                yield (
                    f"samples were drawn with {', '.join(unsent)} as the server has them "
                    "(generation_config.json, a Modelfile, its own defaults), for they are not "
                    "sent: name the service vllm, sglang or llama-cpp where it is one, or send "
                    "them by --model-args extra_body"
                )

    def _note_changes(self) -> Iterator[str]:
        for name, counts in self._facts.items():
            if len(counts) < 2:
                continue
            what = (
                "several models or versions answered"
                if name == _SERVED
                else (f"the server changed its {name}")
            )
            values = "; ".join(f"{value} ({n})" for value, n in counts.most_common())
            (_, problem), value = sorted((self._first_of[name, v], v) for v in counts)[1]
            yield f"{what}: {values}; the first change came at problem {problem}, to {value}"


def _shape(call: StoredCall) -> _Shape:
    return len(" ".join(call.prompt.split())), call.completion.n_prompt_tokens or 0


def _say_cut_prompt(shape: _Shape) -> str:
    return f"it counted {shape[1]:,} tokens for a prompt of {shape[0]:,} characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPrompts:
    """Prompts that a server seems to have cut."""

    certain: tuple[_Shape, ...] = ()
    """No other cause is likely."""
    suspected: tuple[_Shape, ...] = ()
    """The same without enough to tell it from chance, or from a server that cannot count."""


def find_cut_prompts(shapes: Sequence[_Shape], window: int | None = None) -> CutPrompts:
    """Find the prompts that a server cut, by their (characters, counted tokens).

    Either a prompt has fewer tokens than its characters can be, or the largest count is that of
    several prompts of different lengths and of nearly all that are as long: a window. A server that
    leaves cached tokens out counts few tokens, too, but not for the first prompt of a kind.

    Args:
        shapes: One for each prompt; characters without runs of white space.
        window: Of prompt and answer, as the server says; None: it does not.
    """
    if not shapes:
        return CutPrompts()
    most = max(n_tokens for _, n_tokens in shapes)
    if window is not None and most >= window - 1:
        return CutPrompts(certain=tuple(s for s in shapes if s[1] >= window - 1))
    sparse = [s for s in shapes if s[0] >= _MIN_CHARS and s[0] > _MOST_CHARS_PER_TOKEN * s[1]]
    plausible = set(shapes).difference(sparse)
    capped = [s for s in shapes if s[1] == most]
    shortest, longest = min(capped)[0], max(capped)[0]
    n_as_long = sum(n_chars >= shortest for n_chars, _ in shapes)
    is_cap = len(capped) >= _CAPPED_SHARE * n_as_long
    has_whole = any(n_tokens < most for _, n_tokens in plausible)
    is_countable = has_whole or (is_cap and most >= _MIN_WINDOW)
    longest_plausible = max((n_chars for n_chars, _ in plausible), default=0)
    cut = {s for s in sparse if longest_plausible < 0.9 * s[0]}
    n_lengths = len({n_chars for n_chars, _ in capped})
    rates = [n_chars / n_tokens for n_chars, n_tokens in plausible if n_tokens < most]
    is_longest_denser = len(rates) > _MIN_CAPPED and longest / most > _DENSER * max(rates)
    has_spread = n_lengths >= _MIN_CAPPED or (n_lengths > 1 and is_longest_denser)
    if is_cap and has_spread and longest - shortest >= _MIN_SPREAD:
        if is_countable and (longest - shortest >= _SURE_SPREAD or cut.intersection(capped)):
            return CutPrompts(certain=tuple(cut.union(capped)))
        return CutPrompts(suspected=tuple(cut.union(capped)))
    if is_countable:
        return CutPrompts(certain=tuple(cut))
    return CutPrompts(suspected=tuple(cut))


def _is_at_limit(completion: Completion) -> bool:
    """Return whether a completion has about as many tokens as were asked for; unknown: it has."""
    limits = [completion.sent[name] for name in _LIMITS if name in completion.sent]
    if completion.n_generated_tokens is None or not limits or not isinstance(limits[0], int):
        return True
    return completion.n_generated_tokens >= 0.95 * limits[0]
