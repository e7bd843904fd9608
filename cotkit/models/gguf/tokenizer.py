"""The tokenizer that a GGUF file describes, as ``tokenizer.json`` and its companions.

Built with the ``tokenizers`` package from the file's own vocabulary. How text is split before the
merges apply is only a name in the file; an unknown name is refused, because a wrong split gives a
model that works and is a little worse.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cotkit.errors import MissingDependencyError, ModelLoadError
from cotkit.models.gguf.config import Metadata, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's token types

_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_LLAMA3_SPLIT = _QWEN2_SPLIT.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3")


def write_tokenizer(metadata: Metadata, folder: Path) -> dict[str, str]:
    """Write the tokenizer's files; return name -> SHA-256 in hex.

    Raises:
        MissingDependencyError: the ``tokenizers`` package is not installed.
        ModelLoadError: a kind of tokenizer that the converter does not know, or merges of
            tokens that the vocabulary lacks.
    """
    tokens = metadata.tokens()
    kinds = cast("list[int]", metadata.items("tokenizer.ggml.token_type"))
    if len(kinds) != len(tokens):
        raise ModelLoadError(
            f"{metadata.path}: {len(tokens)} tokens, and the kinds of {len(kinds)}"
        )
    model = metadata.text("tokenizer.ggml.model")
    if model == "gpt2":
        built = _byte_level_tokenizer(metadata, tokens, kinds)
    elif model == "llama" and metadata.architecture == "gemma3":
        built = _gemma_tokenizer(tokens)
    else:
        raise metadata.unsupported(f"cannot convert tokenizer {model!r} of {metadata.architecture}")
    _add_tokens(built, tokens, kinds)
    begins = metadata.get("tokenizer.ggml.add_bos_token") is True
    special = {
        f"{name}_token": tokens[token_id]
        for name, key in (
            ("bos", "bos"),
            ("eos", "eos"),
            ("unk", "unknown"),
            ("pad", "padding"),
        )
        if (token_id := metadata.token_id(key)) is not None
    }
    if begins and "bos_token" not in special:
        raise ModelLoadError(f"{metadata.path}: adds a begin token, and names none")
    if begins:
        _add_begin_token(built, special["bos_token"])
    built.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata.integer("{a}.context_length"),
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": begins,
        **special,
    }
    hashes = {
        "tokenizer.json": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(),
        "tokenizer_config.json": write_json(folder / "tokenizer_config.json", config),
    }
    template = metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")
        hashes["chat_template.jinja"] = hashlib.sha256(template.encode()).hexdigest()
    return hashes


def _byte_level_tokenizer(metadata: Metadata, tokens: list[str], kinds: list[int]) -> Tokenizer:
    try:
        from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
        from tokenizers.models import BPE
    except ImportError:
        raise MissingDependencyError("tokenizers", "hf") from None
    vocabulary = {token: i for i, token in enumerate(tokens) if kinds[i] != _UNUSED}
    if twice := [token for i, token in enumerate(tokens) if vocabulary.get(token, i) != i]:
        raise ModelLoadError(f"{metadata.path}: the token {twice[0]!r} stands twice")
    split = metadata.text("tokenizer.ggml.pre")
    merges = _stated_merges(metadata, vocabulary)
    built = Tokenizer(BPE(vocab=vocabulary, merges=merges, ignore_merges=split in _LLAMA3))
    built.decoder = decoders.ByteLevel()
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split in ("default", "gpt-2"):
        built.pre_tokenizer = plain
    elif split == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        built.pre_tokenizer = pre_tokenizers.Sequence([digits, plain])
    elif split in ("qwen2", *_LLAMA3):
        if split == "qwen2":
            built.normalizer = normalizers.NFC()
        pattern = Regex(_QWEN2_SPLIT if split == "qwen2" else _LLAMA3_SPLIT)
        built.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(pattern, behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        raise metadata.unsupported(f"cannot convert pre-tokenizer {split!r}")
    return built


def _stated_merges(metadata: Metadata, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return the file's merges; refuse one whose parts or whole are no token."""
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(metadata.items("tokenizer.ggml.merges"), 1):
        first, _, second = str(line).partition(" ")
        lacking = [part for part in (first, second, first + second) if part not in vocabulary]
        if lacking:
            raise ModelLoadError(
                f"{metadata.path}: cannot convert the tokenizer: merge {number} ({str(line)!r}) "
                f"needs {lacking[0]!r}, which is no token of the file's vocabulary"
            )
        merges.append((first, second))
    return merges


def _gemma_tokenizer(tokens: list[str]) -> Tokenizer:
    try:
        from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
        from tokenizers.models import BPE
    except ImportError:
        raise MissingDependencyError("tokenizers", "hf") from None
    vocabulary = {_spell_spaces(token): i for i, token in enumerate(tokens)}
    built = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=_implied_merges(vocabulary),
            unk_token="<unk>",  # noqa: S106  a token of a vocabulary, not a password
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    built.normalizer = normalizers.Replace(" ", "▁")
    built.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    built.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return built


def _spell_spaces(token: str) -> str:
    """Write runs of spaces, as Gemma's files hold them, as ``▁``, as the merges know them."""
    return "▁" * len(token) if " " in token and not token.strip() else token


def _implied_merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return every way to make a token of two others, in the file's order, which ranks merges."""
    merges: list[tuple[str, str]] = []
    for token in vocabulary:
        pairs = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(a, b) for a, b in pairs if a in vocabulary and b in vocabulary]
        merges += sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    return merges


def _add_tokens(built: Tokenizer, tokens: list[str], kinds: list[int]) -> None:
    """Add control and user-defined tokens, matched whole; only control tokens are special."""
    from tokenizers import AddedToken

    pairs = list(zip(tokens, kinds, strict=True))
    control = [t for t, kind in pairs if kind == _CONTROL]
    own = [t for t, kind in pairs if kind == _USER_DEFINED and built.token_to_id(t) is not None]
    built.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in control])
    built.add_tokens([AddedToken(t, normalized=False, special=False) for t in own])


def _add_begin_token(built: Tokenizer, token: str) -> None:
    from tokenizers.processors import TemplateProcessing

    built.post_processor = TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token} $B",
        special_tokens=[(token, built.token_to_id(token))],
    )
