"""What the stored answers of a server tell of the server: for the notes of a report.

Nothing here changes a score. Local models are not looked at: their answers are their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cotkit.store import Store, StoredCall
from cotkit.types import BackendInfo, Completion

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SAMPLERS = frozenset({"top_p", "top_k", "min_p", "repetition_penalty", "repeat_penalty"})
_MOST_CHARS_PER_TOKEN = 8.0  # of Latin letters in prompts of some length; English has 4 to 5
_MIN_CHARS = 800  # of a prompt that this is asked of
_MIN_CAPPED = 3  # prompts of different lengths that are counted alike
_MIN_SPREAD = 40  # characters between the shortest and the longest of these: about ten tokens
_CAPPED_SHARE = 0.8  # of the prompts that are as long or longer


def note_server(store: Store, run_id: str, info: BackendInfo) -> tuple[str, ...]:
    """Return what a reader must know of how the server of a run behaved; empty: it is none."""
    if "base_url" not in info.settings:
        return ()
    tally = _Tally()
    for call in store.calls(run_id):
        tally.add(call)
    return tuple(tally.notes())


def explain_empty(completion: Completion) -> str | None:
    """Return why a server's answer has no text, in one sentence; None: it has, or nobody knows."""
    kind, _, words = (completion.why_empty or "").partition(": ")
    if kind == "tool":
        return f"the model called a tool ({words}) in place of an answer; none was offered"
    if kind == "filter":
        return f"the server's filter refuses the prompt: {words}"
    return None


@dataclass(slots=True)
class _Tally:
    """Counts over the completions of one run."""

    n: int = 0
    n_empty: int = 0
    n_thought: int = 0
    n_window: int = 0
    windows: set[int] = field(default_factory=set[int])
    tools: Counter[str] = field(default_factory=Counter[str])
    prompts: set[tuple[int, int, int]] = field(default_factory=set[tuple[int, int, int]])
    served: Counter[str] = field(default_factory=Counter[str])
    first_of: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    samplers: Counter[frozenset[str]] = field(default_factory=Counter[frozenset[str]])
    servers: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def add(self, call: StoredCall) -> None:
        """Count one completion."""
        completion = call.completion
        self.n += 1
        if completion.served_by:
            self.served[completion.served_by] += 1
            moment = (call.created_utc, call.problem_id)
            self.first_of[completion.served_by] = min(
                self.first_of.get(completion.served_by, moment), moment
            )
        for name, value in completion.server.items():
            self.servers.setdefault(name, set()).add(str(value))
        temperature = completion.sent.get("temperature")
        if isinstance(temperature, float) and temperature > 0:
            self.samplers[_SAMPLERS.intersection(completion.sent)] += 1
        if call.prompt.isascii() and completion.n_prompt_tokens:
            n_tokens = completion.n_prompt_tokens
            self.prompts.add((hash(call.prompt), len(call.prompt), n_tokens))
        self._add_empty(completion)
        self._add_window(call)

    def _add_empty(self, completion: Completion) -> None:
        if completion.text.strip() or completion.stop_reason == "refusal":
            return
        kind, _, words = (completion.why_empty or "").partition(": ")
        if kind == "tool":
            self.tools[words] += 1
        elif completion.reasoning:
            self.n_thought += completion.stop_reason == "stop" or not _is_at_limit(completion)
        else:
            self.n_empty += completion.stop_reason == "stop"

    def _add_window(self, call: StoredCall) -> None:
        completion = call.completion
        n_prompt, n_generated = completion.n_prompt_tokens, completion.n_generated_tokens
        if completion.stop_reason != "length" or not n_prompt or not n_generated:
            return
        if not _is_at_limit(completion) and "n" not in completion.sent:
            self.n_window += 1
            self.windows.add(n_prompt + n_generated)

    def notes(self) -> Iterator[str]:
        """Yield the notes."""
        if self.n_empty:
            yield f"{self.n_empty} of {self.n} answers were empty, when asked again, too"
        if self.n_thought:
            yield (
                f"{self.n_thought} of {self.n} answers came with no text while their reasoning "
                "field holds words: the server's reasoning parser may have kept the answer, or the "
                "model never left its thoughts; switch thinking off there (enable_thinking), or "
                "serve without a parser"
            )
        if self.tools:
            names = ", ".join(sorted(self.tools))
            yield (
                f"in {self.tools.total()} of {self.n} answers the model called a tool ({names}) in "
                "place of an answer, though none was offered; they count as unparsed"
            )
        yield from self._note_cut_prompts()
        if self.n_window:
            yield (
                f"{self.n_window} answers ended before their limit because the server's window "
                f"was full (about {max(self.windows):,} tokens for prompt and answer): give it a "
                "larger one (Ollama: num_ctx; vLLM: --max-model-len; llama.cpp: -c)"
            )
        if len(self.samplers) > 1:
            names = ", ".join(sorted(frozenset().union(*self.samplers)))
            yield (
                f"some answers were sampled with {names} as the server has them, others with all "
                "of them sent: they were asked by different versions of cotkit"
            )
        yield from self._note_versions()
        sentences = [f"{name} {', '.join(sorted(values))}" for name, values in self.servers.items()]
        if sentences:
            yield f"the server says of itself: {'; '.join(sorted(sentences))}"

    def _note_cut_prompts(self) -> Iterator[str]:
        cut = find_cut_prompts([(chars, tokens) for _, chars, tokens in self.prompts])
        if cut:
            longest, n_tokens = max(cut)
            yield (
                f"the server seems to have cut {len(cut)} prompts: it counted {n_tokens:,} tokens "
                f"for one of {longest:,} characters, as for shorter ones, or fewer than it has; "
                "their answers are to a question that was not seen whole, and say nothing of the "
                "model (Ollama: set num_ctx; others: a larger window)"
            )

    def _note_versions(self) -> Iterator[str]:
        if len(self.served) < 2:
            return
        names = "; ".join(f"{name} ({n})" for name, n in self.served.most_common())
        moments = sorted((moment, name) for name, moment in self.first_of.items())
        (_, problem), name = moments[1]
        yield (
            f"several models or versions answered: {names}; the first change came at problem "
            f"{problem}, to {name}"
        )


def find_cut_prompts(counts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the prompts that a server seems to have cut, of (characters, counted tokens).

    Either a prompt has fewer tokens than its characters can be, or the largest count is that of
    several prompts of different lengths and of nearly all that are as long: a window.
    """
    few = [
        (n_chars, n_tokens)
        for n_chars, n_tokens in counts
        if n_chars >= _MIN_CHARS and n_chars > _MOST_CHARS_PER_TOKEN * n_tokens
    ]
    if few or not counts:
        return few
    most = max(n_tokens for _, n_tokens in counts)
    capped = [(n_chars, n_tokens) for n_chars, n_tokens in counts if n_tokens == most]
    shortest, longest = min(capped)[0], max(capped)[0]
    as_long = [n_tokens for n_chars, n_tokens in counts if n_chars >= shortest]
    is_window = (
        len({n_chars for n_chars, _ in capped}) >= _MIN_CAPPED
        and longest - shortest >= _MIN_SPREAD
        and len(capped) >= _CAPPED_SHARE * len(as_long)
    )
    return capped if is_window else []


def _is_at_limit(completion: Completion) -> bool:
    """Return whether a completion has about as many tokens as were asked for; unknown: it has."""
    limits = [completion.sent[name] for name in _LIMITS if name in completion.sent]
    if completion.n_generated_tokens is None or not limits or not isinstance(limits[0], int):
        return True
    return completion.n_generated_tokens >= 0.95 * limits[0]
