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
TOKENS, KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"

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
        ("llama3", "a 1234", ["a", "Ġ", "12", "3", "4"], "llama 3 splits digits by three"),
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
    extra = {"tokenizer.ggml.pre": "llama-bpe"} if architecture == "llama3" else {}
    tiny_gguf.write(tmp_path / "tiny.gguf", architecture.replace("llama3", "llama"), extra=extra)
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
        ("llama", {"extra": {KINDS: [3, 3]}}, "261 tokens, and the kinds of 2"),
        ("llama", {"extra": {TOKENS: [7, 8]}}, r"tokens: 0 is no text: 7"),
        ("llama", {"extra": {TOKENS: ["a", "b", "a"], KINDS: [1] * 3}}, "token 'a' stands twice"),
        ("llama", {"extra": {"tokenizer.ggml.eos_token_id": 999}}, "is 999, and there are 261"),
        ("llama", {"without": ["tokenizer.ggml.eos_token_id"]}, "no tokenizer.ggml.eos_token_id"),
        ("llama", {"extra": {"tokenizer.ggml.add_bos_token": True}}, "begin token, and names none"),
        ("llama", {"extra": {"llama.block_count": 10**9}}, "block_count is above its tensors"),
        ("llama", {"factors": [1.0, 2.0, 3.0, 4.0]}, "other than those of Llama 3"),
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


def test_rotary_factors_of_llama_3_become_its_rule(tmp_path: Path) -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = transformers.LlamaConfig(head_dim=32, rope_parameters=rope)
    plain = 1 / 500000.0 ** (torch.arange(0, 32, 2) / 32)
    factors = plain / ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")[0]
    path = tmp_path / "tiny.gguf"
    extra = {"llama.rope.freq_base": 500000.0, "llama.attention.key_length": 32}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WIDTHS, "llama", 32)
        tiny_gguf.write(path, "llama", extra=extra, factors=factors.tolist())
    written = json.loads((_convert(path) / "config.json").read_text())["rope_parameters"]
    assert written.pop("rope_type") == rope.pop("rope_type")
    assert written == pytest.approx(rope, rel=1e-4)


def test_a_model_in_several_files_is_named_by_any_of_them(tmp_path: Path) -> None:
    tiny_gguf.write(tmp_path / "whole.gguf", "qwen2")
    tiny_gguf.write_parts(tmp_path, "qwen2")
    second = tmp_path / "tiny-00002-of-00002.gguf"
    assert gguf.count_numbers(second) == gguf.count_numbers(tmp_path / "whole.gguf")
    folder = tmp_path / "folder"
    folder.mkdir()
    together = gguf.convert(second, folder, print)
    (tmp_path / "alone").mkdir()
    assert together == gguf.convert(tmp_path / "whole.gguf", tmp_path / "alone", print)
    (tmp_path / "tiny-00001-of-00002.gguf").unlink()
    with pytest.raises(ModelLoadError, match=r"tiny-00001-of-00002.gguf: no such file.*part of 2"):
        gguf.convert(second, tmp_path, print)


def test_an_unknown_quantisation_is_one_line_before_anything_is_written(tmp_path: Path) -> None:
    path = tiny_gguf.write_llama(tmp_path / "odd.gguf")
    name = b"blk.0.attn_q.weight"
    data = bytearray(path.read_bytes())
    at = data.index(name) + len(name) + 4 + 2 * 8  # number of dimensions, two of them
    data[at : at + 4] = struct.pack("<I", 250)
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"quantisation .* does not know \(number 250\)"):
        gguf.convert(path, tmp_path, print)


def test_another_architecture_is_read_by_transformers(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.gguf"
    tiny_gguf.write_gpt2(path)
    for name in ("config.json", "generation_config.json"):
        (tmp_path / name).write_text("{broken")  # what lies beside it is not its own
    folder = tmp_path / "folder"
    folder.mkdir()
    conversion = gguf.convert(path, folder, print, "bfloat16")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert (model.config.model_type, model.dtype) == ("gpt2", torch.bfloat16)
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= conversion.hashes.keys()
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [1, 0]
