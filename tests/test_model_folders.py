"""What a model folder says of itself: what is missing, which weights, how many, how long a text."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cotkit.errors import ModelLoadError
from cotkit.models import folder as model_folder
from cotkit.models import gguf
from cotkit.models.weights import count_parameters, read_header
from tests.tiny_gguf import write_llama

pytest.importorskip("gguf", reason="making a folder needs the extra hf")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the hub gives it: no manifest."""
    path = tmp_path / "model"
    path.mkdir()
    gguf.convert(write_llama(tmp_path / "tiny.gguf"), path, print)
    return path


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    model_folder.check_folder(folder)
    (folder / name).unlink()
    with pytest.raises(ModelLoadError, match=f"{name} is missing"):
        model_folder.check_folder(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelLoadError, match=r"00002-of-00002\.safetensors is missing"):
        model_folder.check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_every_file_that_matters_changes_the_fingerprint(folder: Path, name: str) -> None:
    before = model_folder.folder_fingerprint(folder)
    (folder / "README.md").write_text("notes do not matter")
    assert model_folder.folder_fingerprint(folder) == before
    stat = (folder / name).stat()
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert model_folder.folder_fingerprint(folder) != before


def test_a_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_folder.folder_fingerprint(folder)

    def never(*args: object) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(hashlib, "file_digest", never)
    assert model_folder.folder_fingerprint(folder) == before


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"text_config": {"max_position_embeddings": 32}}, 32),
        ({"n_positions": 16}, 16),
        ({}, None),
    ],
)
def test_context_window(tmp_path: Path, config: dict[str, object], expected: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_folder.context_window(tmp_path) == expected


@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0\0\0\0\0notjson!", b"\xff" * 16])
def test_weights_that_are_not_safetensors_are_refused(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelLoadError, match="not a safetensors file"):
        model_folder.n_params(folder)


def test_reading_a_folder_imports_nothing_heavy() -> None:
    code = (
        "import sys, cotkit.models.fetch, cotkit.models.folder as f\n"
        "heavy = {'torch', 'transformers', 'gguf', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def weights_of(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        weights_of(b"{}", 1 << 60),
        weights_of(b"[" * 100_000),
        weights_of(b'{"a": {"shape": [1]}, "a": {"shape": [2]}}'),
        weights_of(b'{"a": {"shape": [9007199254740993, 9007199254740993]}}'),
        weights_of(b'{"a": {"shape": [100000, 100000]}}'),
        weights_of(b'{"a": {"shape": [-1]}}'),
        weights_of(b'{"a": {"shape": [1e3]}}'),
        weights_of(b'{"a": 3}'),
    ],
)
def test_a_header_of_weights_that_lies_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(1 << 30 if content[:8] == (1 << 60).to_bytes(8, "little") else len(content))
    with pytest.raises(ModelLoadError, match="not a safetensors file") as refused:
        read_header(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "number", ["1e400", "true", "-1", "0", '"2048"', "2048.5", "9" * 30, "[1]"]
)
def test_a_context_window_that_is_no_number_is_refused(tmp_path: Path, number: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"text_config": {{"n_positions": {number}}}}}')
    with pytest.raises(
        ModelLoadError, match=r"config\.json:n_positions: .* is no number of tokens"
    ):
        model_folder.context_window(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.safetensors", "a/../../x", "", "\0", "3"])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    index = {"weight_map": {"a": 3 if name == "3" else name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match="weight_map: must map tensors to files beside it"):
        model_folder.n_params(tmp_path)


def entry(dtype: str, *shape: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape)}


GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
GROUPS = {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}}
SEES = {"text_config": {}, "vision_config": {}}


@pytest.mark.parametrize(
    ("headers", "config", "expected"),
    [
        ({"a.weight": entry("F32", 3, 5), "norm.scale": entry("F32", 5)}, {}, 20),
        (
            {
                "a.qweight": entry("I32", 8, 100),
                "a.qzeros": entry("I32", 1, 12),
                "a.scales": entry("F16", 1, 100),
                "a.g_idx": entry("I32", 64),
                "a.bias": entry("F16", 100),
                "norm.weight": entry("F16", 10),
            },
            GPTQ,
            6400 + 110,
        ),
        ({"a.qweight": entry("I32", 6, 10)}, {"quantization_config": {"bits": 3}}, 640),
        ({"a.qweight": entry("I32", 6, 10)}, {}, None),
        (
            {
                "a.weight_packed": entry("I32", 10, 8),
                "a.weight_scale": entry("BF16", 10, 2),
                "a.weight_shape": entry("I64", 2),
            },
            {"quantization_config": GROUPS},
            640,
        ),
        (
            {
                "a.weight": entry("U8", 32, 1),
                "a.weight.absmax": entry("U8", 1),
                "a.weight.quant_map": entry("F32", 16),
                "a.weight.nested_absmax": entry("F32", 1),
                "a.weight.quant_state.bitsandbytes__nf4": entry("U8", 90),
            },
            {},
            64,
        ),
        ({"a.weight": entry("I8", 4, 4), "a.SCB": entry("F32", 4)}, {}, 16),
        ({"a.weight": entry("F8_E4M3", 4, 4), "a.weight_scale_inv": entry("F32", 1, 1)}, {}, 16),
        (
            {
                "e.gate_up_proj_blocks": entry("U8", 2, 4, 3, 16),
                "e.gate_up_proj_scales": entry("U8", 2, 4, 3),
                "e.gate_up_proj_bias": entry("BF16", 2, 4),
            },
            {"quantization_config": {"quant_method": "mxfp4"}},
            768 + 8,
        ),
        (
            {
                "a.weight": entry("U8", 4, 8),
                "a.weight_scale": entry("F8_E4M3", 4, 1),
                "a.weight_scale_2": entry("F32"),
                "a.input_scale": entry("F32"),
            },
            {},
            64,
        ),
        (
            {
                "a.weight": entry("U32", 4, 2),
                "a.scales": entry("BF16", 4, 1),
                "a.biases": entry("BF16", 4, 1),
            },
            {"quantization": {"bits": 4, "group_size": 64}},
            64,
        ),
        ({"a.codes": entry("I16", 4, 2), "a.codebooks": entry("F16", 9)}, {}, None),
        (
            {
                "model.language_model.embed.weight": entry("BF16", 5),
                "model.visual.blocks.0.weight": entry("BF16", 700),
                "multi_modal_projector.linear.weight": entry("BF16", 70),
            },
            SEES,
            5,
        ),
        (
            {"embed.weight": entry("F32", 9), "lm_head.weight": entry("F32", 9)},
            {"tie_word_embeddings": True},
            9,
        ),
        ({"embed.weight": entry("F32", 9), "lm_head.weight": entry("F32", 9)}, {}, 18),
        (
            {
                "h.0.attn.bias": entry("F32", 1, 1, 8, 8),
                "h.0.attn.masked_bias": entry("F32"),
                "h.0.attn.rotary_emb.inv_freq": entry("F32", 4),
                "h.0.attn.c_attn.bias": entry("F32", 6),
            },
            {},
            6,
        ),
    ],
)
def test_parameters_are_counted_one_by_one_or_not_at_all(
    headers: dict[str, dict[str, object]], config: dict[str, object], expected: int | None
) -> None:
    assert count_parameters(headers, config) == expected
