"""The tokens of pocket models: digits and signs one by one, the fixed phrases of prompts whole.

A text of phrases has less than a quarter of the tokens of one of characters, so that a model reads
more than four times the problems for the same FLOPs; numbers are still spelt digit by digit. What
none of our three strategies renders for ``arithmetic`` is ``<unk>``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

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
ID: dict[str, int] = {piece: at for at, piece in enumerate(PIECES)}


def text_of(ids: list[int]) -> str:
    """The text that these tokens spell."""
    return "".join(PIECES[i] for i in ids)


def tokenizer() -> PreTrainedTokenizerFast:
    """Longest piece first from the left; any other character is ``<unk>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    longest = sorted(PIECES[2:], key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest), r"[\s\S]"])
    tokens = Tokenizer(models.WordLevel(vocab=ID, unk_token=UNKNOWN))
    tokens.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokens.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
