"""A GGUF file with known weights becomes a folder with the same logits and the same tokens."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from cotkit.errors import ModelLoadError
from cotkit.models import gguf
from cotkit.models.gguf.config import ARCHITECTURES
from tests import tiny_gguf
from tests.tiny_gguf import CONTEXT, HEADS, HIDDEN, INNER, KEYS, LAYERS, WIDTHS, WINDOW

MERGES = "tokenizer.ggml.merges"

pytest.importorskip("gguf", reason="conversion needs the extra hf")
tokenizers = pytest.importorskip("tokenizers", reason="conversion needs the extra hf")
torch = pytest.importorskip("torch", reason="comparing logits needs the extra hf")
transformers = pytest.importorskip("transformers", reason="comparing logits needs the extra hf")


def _convert(source: Path) -> Path:
    folder = source.with_suffix("")
    folder.mkdir()
    gguf.convert(source, folder, print)
    return folder


def _as_written(architecture: str, weights: tiny_gguf.Weights, *, tied: bool) -> Any:  # noqa: ANN401  torch is optional
    """The model of these weights, its config written out by hand."""
    shape = {
        "vocab_size": len(weights["model.embed_tokens.weight"]),
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS[architecture],
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS,
        "head_dim": WIDTHS[architecture],
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": tied,
    }
    rope = {"rope_type": "default", "rope_theta": 5000.0}
    if architecture == "gemma3":
        local = {"rope_type": "default", "rope_theta": 10000.0}
        config = transformers.Gemma3TextConfig(
            **shape,
            query_pre_attn_scalar=WIDTHS["gemma3"],
            sliding_window=WINDOW,
            layer_types=["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
            rope_parameters={"full_attention": rope, "sliding_attention": local},
        )
        model = transformers.Gemma3ForCausalLM(config)
    elif architecture == "qwen2":
        config = transformers.Qwen2Config(**shape, rope_parameters=rope)
        model = transformers.Qwen2ForCausalLM(config)
    else:
        config = transformers.LlamaConfig(**shape, rope_parameters=rope)
        model = transformers.LlamaForCausalLM(config)
    state = {name: torch.from_numpy(data) for name, data in weights.items()}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert missing == (["lm_head.weight"] if tied else [])
    model.tie_weights()
    return model.eval()


@pytest.mark.parametrize(
    ("architecture", "head_apart", "why"),
    [
        ("llama", False, "q and k rows come back in order"),
        ("llama", True, "an output head of its own is used"),
        ("qwen2", True, "biases arrive; q and k rows are not touched"),
        ("gemma3", False, "norms lose the one; local and global layers; head width on its own"),
    ],
)
def test_logits_are_those_of_the_weights_written(
    tmp_path: Path, architecture: str, head_apart: bool, why: str
) -> None:
    weights = tiny_gguf.write(tmp_path / "tiny.gguf", architecture, head_apart=head_apart)
    folder = _convert(tmp_path / "tiny.gguf")
    expected = _as_written(architecture, weights, tied=not head_apart)
    converted = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert converted.dtype == torch.float32
    tokens = torch.arange(5, 25).reshape(1, -1)  # longer than the sliding window
    with torch.no_grad():
        difference = (converted(tokens).logits - expected(tokens).logits).abs().max().item()
    assert difference < 1e-4, why


@pytest.mark.parametrize(
    ("architecture", "text", "tokens", "why"),
    [
        ("llama", "a  12", ["a", "ĠĠ", "1", "2"], "smollm splits digits before any merge"),
        ("llama", "<|im_end|>x", ["<|im_end|>", "x"], "control tokens stay whole"),
        ("llama", "<call>", ["<call>"], "so do user-defined ones"),
        ("qwen2", "e\u0301", ["Ã", "©"], "qwen2 composes characters first"),
        (
            "gemma3",
            "ab ab",
            ["<bos>", "ab", "▁ab"],
            "begins with <bos>; merges from the vocabulary",
        ),
        ("gemma3", "a  b", ["<bos>", "a", "▁▁", "b"], "runs of spaces are respelled"),
        ("gemma3", "é", ["<bos>", "<0xC3>", "<0xA9>"], "unknown characters fall back to bytes"),
    ],
)
def test_tokens(tmp_path: Path, architecture: str, text: str, tokens: list[str], why: str) -> None:
    tiny_gguf.write(tmp_path / "tiny.gguf", architecture)
    folder = _convert(tmp_path / "tiny.gguf")
    written = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert written.encode(text).tokens == tokens, why
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder
    )  # may build its own from the file
    ids = tokenizer(text).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == tokens, why
    assert tokenizer.eos_token_id == 1
    assert tokenizer.pad_token_id == 0


def test_every_token_that_ends_a_text_is_an_end_token(tmp_path: Path) -> None:
    tiny_gguf.write_llama(tmp_path / "tiny.gguf")
    folder = _convert(tmp_path / "tiny.gguf")
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [1, 0]


def test_a_chat_template_comes_along(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    tiny_gguf.write(tmp_path / "a.gguf", "llama", extra={"tokenizer.chat_template": template})
    tokenizer = transformers.AutoTokenizer.from_pretrained(_convert(tmp_path / "a.gguf"))
    chat = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "hi\n"


@pytest.mark.parametrize(
    ("architecture", "changes", "says"),
    [
        ("llama", {"without": ["llama.block_count"]}, "metadata has no llama.block_count"),
        ("llama", {"without": ["blk.1.attn_q.weight"]}, "has no tensor blk.1.attn_q.weight"),
        ("gemma3", {"without": ["gemma3.attention.sliding_window"]}, "no gemma3.attention.sliding"),
        ("llama", {"extra": {"tokenizer.ggml.pre": "other"}}, "pre-tokenizer 'other'"),
        ("llama", {"extra": {"tokenizer.ggml.model": "bert"}}, "tokenizer 'bert'"),
        ("llama", {"extra": {"llama.rope.scaling.type": "yarn"}}, "rope scaling 'yarn'"),
        ("llama", {"extra": {"llama.block_count": 1}}, "cannot convert tensor blk.1.attn_k.weight"),
        ("qwen2", {"extra": {"qwen2.block_count": "two"}}, "block_count has an unexpected type"),
        (
            "llama",
            {"extra": {MERGES: ["Ġ Ġ", "1 zz"]}},
            r"merge 2 \('1 zz'\) needs 'zz', which is no",
        ),
        ("qwen2", {"extra": {MERGES: ["1 3"]}}, r"merge 1 \('1 3'\) needs '13', which is no token"),
        ("llama", {"extra": {MERGES: ["12"]}}, r"merge 1 \('12'\) needs '', which is no token"),
        ("llama", {"extra": {MERGES: [1, 2]}}, r"merge 1 \('1'\) needs '', which is no token"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_line(
    tmp_path: Path, architecture: str, changes: dict[str, Any], says: str
) -> None:
    path = tmp_path / "odd.gguf"
    tiny_gguf.write(path, architecture, **changes)
    with pytest.raises(ModelLoadError, match=says) as caught:
        gguf.convert(path, tmp_path, print)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_the_docs_name_the_architectures() -> None:
    docs = (Path(__file__).parents[1] / "docs" / "local.md").read_text()
    assert all(f"`{architecture}`" in docs.split("\n\n")[1] for architecture in ARCHITECTURES)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "other.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelLoadError, match=r"architecture 'mamba'.*serve/llama.cpp:"):
        gguf.convert(tmp_path / "other.gguf", tmp_path, print)


@pytest.mark.parametrize("kept", [0, 3, 20, 3000, -100])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = tiny_gguf.write_llama(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelLoadError, match="not a whole GGUF file"):
        gguf.convert(path, tmp_path, print)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "not.gguf"
    path.write_bytes(b"PK\3\4" * 100)
    with pytest.raises(ModelLoadError, match="not a whole GGUF file"):
        gguf.convert(path, tmp_path, print)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<IQQ", 3, 1 << 63, 1),
        struct.pack("<IQQ", 3, 1, 1 << 63),
        struct.pack("<IQQQ", 3, 0, 1, 1 << 62),
        struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 0, 1 << 40),
        struct.pack("<IQQQcIIQ", 3, 0, 1, 1, b"a", 9, 9, 1 << 21) + bytes(64),
        struct.pack("<IQQQcIIQIQIQ", 3, 0, 1, 1, b"a", 9, 9, 1, 9, 1, 9, 1),
        struct.pack("<IQQQcII", 3, 1, 0, 1, b"t", 1 << 30, 0),
        struct.pack("<IQQQcI", 3, 0, 1, 1, b"a", 99),
    ],
)
def test_a_header_that_lies_is_refused_before_it_is_believed(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + header)
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # of zeros, which take no room
    with pytest.raises(ModelLoadError, match="not a whole GGUF file") as refused:
        gguf.convert(path, tmp_path, lambda _: None)
    assert "\n" not in str(refused.value)
