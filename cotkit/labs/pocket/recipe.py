"""What makes a pocket model: sizes, data, schedule and tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotkit.errors import UnknownNameError
from cotkit.types import LATER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


GENERATOR_VERSION = 1
"""Changes whenever any training text does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """The shape of one network: a Llama with tied embeddings and an MLP of twice its width."""

    name: str
    """Its parameters, rounded: ``"7k"``."""
    width: int
    """Of the residual stream."""
    n_layers: int
    """Blocks."""
    n_heads: int
    """Attention heads, each with its own keys and values."""
    head_width: int
    """Of one head; even, for rotary positions."""
    n_tokens: int = field(default=29, metadata=LATER)
    """Size of the vocabulary."""

    @property
    def n_params(self) -> int:
        """Numbers trained, embeddings once."""
        attention = 4 * self.width * self.n_heads * self.head_width
        mlp = 3 * self.width * 2 * self.width
        return self.n_layers * (attention + mlp + 2 * self.width) + self.width * (self.n_tokens + 1)

    def n_bytes(self, recipe: PocketRecipe) -> int:
        """Return the memory of a training process, rounded up: 0.46 GB of torch and activations.

        Measured: 0.47, 0.59 and 1.15 GB for 3k, 57k and 1m, where this says 0.48, 0.63 and 1.30.
        """
        per_token = 4 * self.n_layers * 40 * self.width
        return 460_000_000 + 16 * self.n_params + recipe.batch_tokens * per_token


def _make_size(name: str, width: int, n_layers: int, n_heads: int, head_width: int) -> NetworkSize:
    return NetworkSize(
        name=name, width=width, n_layers=n_layers, n_heads=n_heads, head_width=head_width
    )


SIZES: tuple[NetworkSize, ...] = (
    _make_size("3k", 10, 2, 2, 8),
    _make_size("6k", 16, 2, 2, 8),
    _make_size("12k", 24, 2, 3, 8),
    _make_size("26k", 28, 3, 4, 8),
    _make_size("57k", 42, 3, 6, 8),
    _make_size("114k", 54, 4, 6, 8),
    _make_size("239k", 80, 4, 4, 16),
    _make_size("506k", 112, 4, 7, 16),
    _make_size("1m", 160, 4, 10, 16),
)
"""Smallest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtRecipe:
    """What a model that thinks is trained on beside the problems: conversations with thoughts."""

    habit: int = 4
    """Steps after which a thought ends by itself, though the problem may have more."""
    off: float = 0.3
    """Share of conversations without a thought."""
    cut: float = 0.4
    """Share of thoughts that end at any token: the answer must do without what is missing."""
    waits: float = 0.3
    """Share of thoughts that go on after a "Wait" where they would end, and of those after two."""
    asked: tuple[float, float] = (0.7, 0.3)
    """Share of problems that are asked in short and in long sequences; others are exemplars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketRecipe:
    """How every size is trained: the same data in the same order, given a seed."""

    n_steps: int = 2000
    """Optimizer steps."""
    batch_tokens: int = 8192
    """Tokens of one step."""
    short_tokens: int = 256
    """Length of a sequence in most steps."""
    long_tokens: int = 1024
    """Length in every ``long_every``-th step: what eight exemplars of eight steps take."""
    long_every: int = 8
    """Long sequences cost attention that short ones do not."""
    reasoned: float = 0.75
    """Share of sequences whose answers are worked out; the others answer at once."""
    mixed: float = 0.5
    """Share of sequences whose problems have any number of steps; the others have one number."""
    max_steps: int = 8
    """Problems have 1 to so many operations."""
    digits: int = 1
    """Digits of every number given, as in ``arithmetic:digits=``."""
    peak_rate: float = 0.006
    """Highest learning rate of a network 64 wide; it goes with the root of 64 / width."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises to its peak; then a cosine follows."""
    floor: float = 0.02
    """Where the cosine ends, as a share of the peak."""
    clip: float = 1.0
    """Longest gradient; a longer one is scaled down."""
    spread: float = 0.4
    """Standard deviation of first weights, times the root of the width."""
    weight_decay: float = 0.01
    """Of AdamW, on matrices."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    held_out_seeds: tuple[int, ...] = (0, 1, 2)
    """Problems of ``arithmetic`` under these seeds are never trained on."""
    held_out_n: int = 1000
    """So many of each."""
    least_held_out: int = 3
    """Of problems with fewer operations none are held out: there are 162 of one operation and 2,916
    of two, and every longer problem shows them as its first steps."""
    generator_version: int = GENERATOR_VERSION
    """Of the texts."""
    context_tokens: int = 2048
    """Window that the config states: the longest prompt with its limit of new tokens fits."""
    thought: ThoughtRecipe | None = field(default=None, metadata=LATER)
    """How it thinks, in conversations; None: it answers in plain text."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Every token; its place is its id."""
        return PIECES if self.thought is None else THINKER_PIECES


def parse_sizes(text: str) -> tuple[NetworkSize, ...]:
    """Return the sizes that ``all`` or ``smallest,next`` or ``3k,12k`` name, smallest first.

    ``thinker`` alone is the model that thinks, which is none of the ladder.

    Raises:
        UnknownNameError: there is no such size.
    """
    sizes = [size.name for size in SIZES]
    words = {"smallest": sizes[0], "next": sizes[1]}
    names = {words.get(name, name) for name in map(str.strip, text.lower().split(","))}
    if names == {"all"}:
        return SIZES
    if names == {THINKER.name}:
        return (THINKER,)
    for name in sorted(names.difference(sizes)):
        raise UnknownNameError("size of pocket", name, [*sizes, *words, "all"])
    return tuple(size for size in SIZES if size.name in names)


# The tokens of pocket models: digits and signs one by one, the fixed phrases of prompts as a whole.
#
# A text of phrases has less than a quarter of the tokens of one of characters, so that a model
# reads more than four times the problems for the same FLOPs; numbers are still spelt digit by
# digit. What none of our three strategies renders for ``arithmetic`` is ``<unk>``.


END = "<end>"
"""Ends and pads; never trained on, since an answer ends in a blank line as exemplars do."""
UNKNOWN = "<unk>"

HEADER = "Answer the question. End with one line of the form: The answer is <number>.\n\n"
"""How ``standard``, ``few-shot`` and ``cot`` begin."""
START = "Q: Start with "
ADD_FIRST, SUBTRACT_FIRST = ", add ", ", subtract "
ADD, SUBTRACT = ", then add ", ", then subtract "
ASK = ". What is the result?\nA:"
"""Ends the question; a prompt with exemplars ends here."""
FIRST, THEN = " First ", " Then "
ANSWER = " The answer is"
"""The prompt of ``standard`` ends here."""
PLUS, MINUS, EQUALS = " + ", " - ", " = "
NEGATIVE, STOP, SPACE, BLANK = "-", ".", " ", "\n\n"
DIGITS = tuple("0123456789")

PIECES: tuple[str, ...] = (
    *(END, UNKNOWN, HEADER, START, ADD_FIRST, SUBTRACT_FIRST, ADD, SUBTRACT, ASK, FIRST, THEN),
    *(ANSWER, PLUS, MINUS, EQUALS, NEGATIVE, STOP, SPACE, BLANK, *DIGITS),
)
"""Every token; its place is its id."""
USER, ASSISTANT, THINK, END_THINK = "<user>", "<assistant>", "<think>", "</think>"
NEWLINE, WAIT = "\n", "Wait"
THINKER_PIECES: tuple[str, ...] = (*PIECES, USER, ASSISTANT, THINK, END_THINK, NEWLINE, WAIT)
"""Those of a model that thinks."""
ID: dict[str, int] = {piece: i for i, piece in enumerate(THINKER_PIECES)}
THINKER = NetworkSize(
    name="thinker", width=28, n_layers=3, n_heads=4, head_width=8, n_tokens=len(THINKER_PIECES)
)
"""The one size of the model that thinks: that of pocket-26k."""
THINKER_RECIPE = PocketRecipe(
    n_steps=1200, batch_tokens=4096, long_every=16, max_steps=6, thought=ThoughtRecipe()
)
"""How it is trained."""
TEMPLATE = (
    f"{{% for m in messages %}}{{{{ '{ASSISTANT}' if m.role == 'assistant' else '{USER}' }}}}"
    f"{{{{ m.content }}}}{END}{{% endfor %}}{{% if add_generation_prompt %}}{ASSISTANT}{THINK}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    f"{{{{ '\\n\\n{END_THINK}\\n\\n' }}}}{{% endif %}}{{% endif %}}"
)
"""Opens a thought, and closes it at once where thinking is switched off."""


def text_of(ids: list[int]) -> str:
    """Return the text that these tokens spell."""
    return "".join(THINKER_PIECES[i] for i in ids)


def make_tokenizer(pieces: Sequence[str] = PIECES) -> PreTrainedTokenizerFast:
    """Return the tokenizer: the longest piece from the left; any other character is ``<unk>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    longest = sorted(pieces[2:], key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest), r"[\s\S]"])
    ids = {piece: ID[piece] for piece in pieces}
    tokens = Tokenizer(models.WordLevel(vocab=ids, unk_token=UNKNOWN))
    tokens.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokens.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE if THINK in pieces else None,
    )
