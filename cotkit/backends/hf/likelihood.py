"""Log-probabilities of given options: where an option begins, and one pass over its tokens.

The tokens scored are always those of prompt and option as one text, cut at one place for all
options of a request:

1. White space at the end of the rendered prompt (of the chat template, too) is moved to the head of
   every option, as lm-eval's ``TemplateLM._encode_pair`` does: ``"A: " + "4"`` is read as
   ``"A:" + " 4"``, the token that a model would write.
2. The prompt ends before the first token in which what is left of it, tokenized alone, differs from
   it followed by any of the options. Mostly it ends where it ends and the options are scored as
   lm-eval scores them. Where an option's first letters merge with the prompt's last (``"4" + "2"``
   is ``"42"``), the tokens from there on are scored, for all options alike. lm-eval cuts each
   option after as many tokens as the prompt has, and so lets the model read a prompt that is not
   the beginning of what it scores.

So a log-probability is that of the option given the prompt wherever nothing had to be moved;
elsewhere it holds the moved tokens too, and only differences between the options of one request
mean anything.
"""

from __future__ import annotations

import math
from collections import abc
from dataclasses import dataclass

from cotkit.backends.hf.batch import TimeSplitter, nan_error, read_prompts
from cotkit.backends.hf.forward import Network, make_context
from cotkit.backends.hf.prefix_tree import PrefixTree, common_prefix_length
from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import Sequence
from cotkit.errors import BackendError
from cotkit.types import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTokens:
    """The tokens of a request with options; prompt and option together are those of the text."""

    prompt: tuple[int, ...]
    """What all options continue."""
    options: tuple[tuple[int, ...], ...]
    """The tokens to be scored, for each option at least one."""


def split_options(prompter: Prompter, request: Request) -> OptionTokens:
    """Tokenize a request's prompt with each of its options, by the rule above.

    Raises:
        ModelLoadError: as :meth:`Prompter.render`.
        BackendError: an option adds no token to the prompt.
    """
    rendered = prompter.render(request)
    text = rendered.rstrip()
    alone = prompter.encode(text)
    tokens_of_texts = [prompter.encode(rendered + option) for option in request.options]
    n_prompt = min(common_prefix_length(alone, text_tokens) for text_tokens in tokens_of_texts)
    for option, text_tokens in zip(request.options, tokens_of_texts, strict=True):
        if len(text_tokens) <= n_prompt:
            raise BackendError(f"the option {option!r} has no token of its own")
    return OptionTokens(
        prompt=alone[:n_prompt],
        options=tuple(tuple(text_tokens[n_prompt:]) for text_tokens in tokens_of_texts),
    )


def score_batch(network: Network, sequences: abc.Sequence[Sequence], tree: PrefixTree) -> None:
    """Score the options of sequences; each distinct prompt is read once.

    A fault of the model (out of memory above all) propagates, and the sequences can be run again.
    """
    clock, context = TimeSplitter(), make_context(network)
    prefill = read_prompts(network, context, sequences, tree)
    options = [sequence.option_tokens for sequence in prefill.sequences]
    firsts = prefill.logits.log_softmax(dim=-1)[
        prefill.prompt_of, [option[0] for option in options]
    ]
    scores = [[value] for value in firsts.tolist()]
    longer = [i for i, option in enumerate(options) if len(option) > 1]
    if longer:
        first = len(context)
        for i in longer:
            context.add_copy(prefill.prompt_of[i])
        rest_scores = context.score([options[i] for i in longer], first)
        for i, values in zip(longer, rest_scores, strict=True):
            scores[i] += values
    n_read = [len(option) - 1 for option in options]
    clock.split(prefill.sequences, [n + m for n, m in zip(prefill.n_computed, n_read, strict=True)])
    for sequence, values in zip(prefill.sequences, scores, strict=True):
        logprob = math.fsum(values)
        if math.isnan(logprob):
            sequence.fail(nan_error(network))
        else:
            sequence.score(logprob)
