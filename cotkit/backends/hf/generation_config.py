"""What ``generation_config.json`` asks of every text: applied as in transformers, or refused.

Penalties and bans on tokens change what a model says, greedy or not, so they are part of its
identity; ``generation_config=off`` runs without them. How tokens are drawn (temperature, top_k,
top_p, min_p and their like) and how many is what the run says, never what this file says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cotkit.backends.hf.source import read_json
from cotkit.errors import ModelLoadError
from cotkit.identity import canonical_json

FILE = "generation_config.json"

_WAY_OUT = "generation_config=off runs without it"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))  # type: ignore[arg-type]


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(_are_ids(word) and word for word in value)  # type: ignore[arg-type]


def _are_biases(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and _are_ids(pair[0])  # type: ignore[arg-type]
        for pair in value
    )


def _is_decay(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))  # type: ignore[arg-type]


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)  # type: ignore[arg-type]


_APPLIED: Mapping[str, tuple[object, Callable[[object], bool]]] = {
    "sequence_bias": (None, _are_biases),
    "encoder_repetition_penalty": (1, _is_number),
    "repetition_penalty": (1, _is_number),
    "no_repeat_ngram_size": (0, _is_count),
    "encoder_no_repeat_ngram_size": (0, _is_count),
    "bad_words_ids": (None, _are_words),
    "min_length": (0, _is_count),
    "min_new_tokens": (0, _is_count),
    "exponential_decay_length_penalty": (None, _is_decay),
    "suppress_tokens": (None, _are_ids),
    "begin_suppress_tokens": (None, _are_ids),
    "stop_strings": (None, _are_texts),
}
"""Setting -> the value that does nothing, and whether a value can be used."""

_REFUSED: Mapping[str, object] = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "penalty_alpha": 0,
    "dola_layers": None,
    "guidance_scale": 1,
    "watermarking_config": None,
    "constraints": None,
    "force_words_ids": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "token_healing": False,
}
"""Setting that changes texts and is not supported -> the value that does nothing."""

_OF_THE_RUN = ("min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
"""Filters of sampling that few models ask for; the run does not apply them and says so."""


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what a folder's generation config asks of every text, by name; empty: nothing.

    A folder without one may have the settings in ``config.json``, as transformers reads them.

    Raises:
        ModelLoadError: a setting is not supported, or has no usable value.
    """
    path = folder / FILE
    if not path.is_file():
        path = folder / "config.json"
    content = read_json(path)
    for name, neutral in _REFUSED.items():
        value = content.get(name)
        if value not in (None, neutral, [], {}):
            raise ModelLoadError(f"{path}: {name}={value!r} is not supported", hint=_WAY_OUT)
    settings: dict[str, Any] = {}
    for name, (neutral, is_usable) in _APPLIED.items():
        value = [content[name]] if isinstance(content.get(name), str) else content.get(name)
        if value is None or value in (neutral, []):
            continue
        if not is_usable(value):
            raise ModelLoadError(f"{path}: {name}={value!r} cannot be used", hint=_WAY_OUT)
        settings[name] = value
    return settings


def describe(settings: Mapping[str, Any]) -> str:
    """Write settings as reports and the model's identity hold them."""
    return ", ".join(f"{name}={canonical_json(value)}" for name, value in settings.items())


def ignored_sampling(folder: Path) -> str:
    """Return the unusual sampling settings of a folder as ``name=value``; empty: it has none."""
    content = read_json(folder / FILE)
    neutral = (None, 0, 0.0, 1, 1.0)
    return ", ".join(
        f"{name}={content[name]}" for name in _OF_THE_RUN if content.get(name) not in neutral
    )


def make_processors(
    settings: Mapping[str, Any], prompt: tuple[int, ...], end_ids: frozenset[int]
) -> list[Any]:
    """Return transformers' logits processors for one prompt, in the order of ``generate``.

    Each maps token ids [1, n] and logits [1, vocabulary] to logits.
    """
    import torch
    from transformers.generation import logits_process

    ends = sorted(end_ids)
    ids: Any = torch.tensor([prompt])
    makers: dict[str, Callable[[Any], object]] = {
        "sequence_bias": logits_process.SequenceBiasLogitsProcessor,
        "encoder_repetition_penalty": lambda value: (
            logits_process.EncoderRepetitionPenaltyLogitsProcessor(value, ids)
        ),
        "repetition_penalty": lambda value: logits_process.RepetitionPenaltyLogitsProcessor(
            float(value)
        ),
        "no_repeat_ngram_size": logits_process.NoRepeatNGramLogitsProcessor,
        "encoder_no_repeat_ngram_size": lambda value: (
            logits_process.EncoderNoRepeatNGramLogitsProcessor(value, ids)
        ),
        "bad_words_ids": lambda value: logits_process.NoBadWordsLogitsProcessor(
            value, ends or None
        ),
        "min_length": lambda value: logits_process.MinLengthLogitsProcessor(value, ends),
        "min_new_tokens": lambda value: logits_process.MinNewTokensLengthLogitsProcessor(
            len(prompt), value, ends
        ),
        "exponential_decay_length_penalty": lambda value: (
            logits_process.ExponentialDecayLengthPenalty(tuple(value), ends, len(prompt))
        ),
        "suppress_tokens": logits_process.SuppressTokensLogitsProcessor,
        "begin_suppress_tokens": lambda value: logits_process.SuppressTokensAtBeginLogitsProcessor(
            value, len(prompt)
        ),
    }
    need_ends = {"min_length", "min_new_tokens", "exponential_decay_length_penalty"}
    return [
        make(settings[name])
        for name, make in makers.items()
        if name in settings and (ends or name not in need_ends)
    ]
