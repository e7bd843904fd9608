"""Linear layers in few bits: what rounding keeps, and that few and many tokens go the same way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from cotkit.errors import ModelLoadError
from cotkit.models.rounding import (
    Q4_GROUP,
    Bfloat16Bits,
    Float32Array,
    from_bfloat16,
    round_to_q4,
)
from cotkit.models.weights import Tensor, write_weights

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from transformers import (  # noqa: E402 - only where they are
    Mamba2Config,
    Mamba2ForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from cotkit.backends.hf import loading, products, rounded_layers  # noqa: E402
from cotkit.backends.hf.source import Placement  # noqa: E402


def unpack(packed: npt.NDArray[np.uint8], scales: Bfloat16Bits) -> Float32Array:
    """The numbers that q4 stands for, by its definition and not by the code under test."""
    n_rows, n_groups, _ = scales.shape
    halves = packed.reshape(n_rows, n_groups, Q4_GROUP // 2)
    numbers = np.concatenate([halves % 16, halves // 16], -1).astype(np.float32)
    scale, zero = from_bfloat16(scales[..., 0]), from_bfloat16(scales[..., 1])
    return ((numbers - 8) * scale[..., None] + zero[..., None]).reshape(n_rows, -1)


@pytest.mark.parametrize("most", [15, 14, 12])
def test_what_has_four_bits_already_nearly_stays_as_it_is(most: int) -> None:
    drawn = np.random.default_rng(most)
    numbers = drawn.integers(0, most + 1, (48, 6, Q4_GROUP))
    numbers[..., 0], numbers[..., 1] = 0, most
    scale = drawn.uniform(0.01, 1, (48, 6, 1)).astype(np.float16).astype(np.float32)
    lowest = drawn.uniform(-8, -4, (48, 6, 1)).astype(np.float32)
    rows = ((numbers + lowest) * scale).astype(np.float32).reshape(48, -1)
    apart = np.abs(unpack(*round_to_q4(rows)) - rows).reshape(48, 6, -1)
    assert (apart < 0.1 * scale).all()


def test_other_numbers_are_as_close_as_the_best_of_12_to_15_steps() -> None:
    groups = np.random.default_rng(0).normal(size=(64, 8, Q4_GROUP)).astype(np.float32)
    kept = unpack(*round_to_q4(groups.reshape(64, -1))).reshape(64, 8, -1)
    low, high = groups.min(-1, keepdims=True), groups.max(-1, keepdims=True)
    losses = []
    for n_steps in range(12, 16):
        step = (high - low) / n_steps
        losses.append(np.square(np.rint((groups - low) / step) * step + low - groups).sum(-1))
    best = np.min(losses, axis=0)
    assert (np.square(kept - groups).sum(-1) < 1.3 * best + 1e-4).all()
    assert len({int(i) for i in np.argmin(losses, axis=0).flat}) == 4, "each is best somewhere"


def test_groups_of_equal_numbers_and_of_none() -> None:
    rows = np.zeros((1, 4 * Q4_GROUP), np.float32)
    rows[0, Q4_GROUP : 2 * Q4_GROUP] = -2.5
    rows[0, 2 * Q4_GROUP] = np.nan
    rows[0, 3 * Q4_GROUP] = np.inf
    kept = unpack(*round_to_q4(rows))[0].reshape(4, -1)
    assert np.abs(kept[0]).max() < 1e-20
    assert (kept[1] == -2.5).all()
    assert np.isnan(kept[2:]).all(), "what is no number is not made one"


@pytest.mark.parametrize("fast", [False, True], ids=["float32 products", "bfloat16 products"])
def test_few_tokens_and_many_come_to_the_same(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(products, "is_fast_in_bfloat16", lambda: fast)
    torch.manual_seed(3)
    monkeypatch.setattr(products, "_PIECE", 96 * 512)
    layer = torch.nn.Linear(96, 1088, bias=True)  # more rows than are unpacked at a time
    fours = rounded_layers.Q4Linear(layer)
    bits = fours.scale_and_zero.transpose(0, 1).contiguous().view(torch.uint16)
    weight = torch.from_numpy(unpack(fours.weight.numpy(), bits.numpy()))
    fours.pack()
    x = torch.randn(3, 40, 96)
    with torch.inference_mode():
        exact = x.bfloat16().float() @ weight.t() + layer.bias
        many = fours(x)
        few = torch.cat([fours(part) for part in x.split(1)])
        alone = torch.cat([fours(part) for part in x.split(1, dim=1)], 1)
    assert many.shape == (3, 40, 1088)
    assert many.dtype is torch.bfloat16
    for got in (many, few, alone):
        assert float((got - exact).abs().max()) < 0.01 * float(exact.abs().max())
    assert torch.equal(few, alone), "a token is rounded by itself"


def test_weights_are_unpacked_from_the_order_of_the_kernel() -> None:
    numbers = torch.randint(0, 16, (192, 96), generator=torch.Generator().manual_seed(5))
    packed = rounded_layers._pack(numbers)
    assert torch.equal(rounded_layers._unpack(packed).long(), numbers)
    assert torch.equal(rounded_layers._unpack(packed[64:128]).long(), numbers[64:128])


def test_a_head_has_eight_bits_in_q4() -> None:
    torch.manual_seed(4)
    layer = torch.nn.Linear(64, 320, bias=False)
    head = rounded_layers.Int8Head(layer)
    x = torch.randn(2, 5, 64).bfloat16()
    with torch.inference_mode():
        exact, got = layer(x.float()), head(x)
    assert got.dtype is torch.bfloat16
    assert got.shape == exact.shape
    assert 0 < float((got - exact).abs().max()) < 0.02 * float(exact.abs().max())


def test_a_head_is_copied_from_where_its_kernel_cannot_read() -> None:
    """A file puts tensors anywhere; torch's kernel for AVX-512 crashed there."""
    head = rounded_layers.Int8Head(torch.nn.Linear(64, 320, bias=False))
    numbers = head.weight
    memory = torch.empty(numbers.numel() + 64, dtype=torch.int8)
    begin = (8 - memory.data_ptr()) % 64
    head.weight = memory[begin : begin + numbers.numel()].view_as(numbers).copy_(numbers)
    head.align()
    assert head.weight.data_ptr() % 64 == 0
    assert torch.equal(head.weight, numbers)
    copied = head.weight
    head.align()
    assert head.weight is copied


@pytest.mark.parametrize("kind", [rounded_layers.Q4Linear, rounded_layers.Int8Head])
def test_a_layer_takes_any_layout_and_no_whole_numbers(
    kind: type[rounded_layers.Q4Linear | rounded_layers.Int8Head],
) -> None:
    layer = kind(torch.nn.Linear(64, 128))
    if isinstance(layer, rounded_layers.Q4Linear):
        layer.pack()
    x = torch.randn(1, 64, 9).transpose(1, 2)
    with torch.inference_mode():
        assert torch.equal(layer(x), layer(x.contiguous()))
        with pytest.raises(ValueError, match="casts to the kind"):
            layer(x.to(layer.weight.dtype))


def load_in_q4(model: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, list[str]]:
    model.save_pretrained(folder)
    said: list[str] = []
    placement = Placement(device="cpu", dtype="q4", spread=False)
    return loading.load_network(folder, placement, said.append).model, said


def test_a_model_that_casts_to_the_kind_of_its_weights_is_refused(tmp_path: Path) -> None:
    """Mamba 2 gives its head ``hidden.to(lm_head.weight.dtype)``, which would be whole numbers."""
    config = Mamba2Config(
        vocab_size=300, hidden_size=64, num_hidden_layers=1, head_dim=32, num_heads=4, n_groups=1
    )
    with pytest.raises(ModelLoadError, match="cannot run in q4: it casts") as refused:
        load_in_q4(Mamba2ForCausalLM(config), tmp_path)
    assert "take another dtype" in str(refused.value)


def test_a_head_of_odd_width_stays_exact(tmp_path: Path) -> None:
    """Its kernel reads by eights or sixteens, beyond the end of others."""
    config = OPTConfig(
        vocab_size=300,
        hidden_size=64,
        ffn_dim=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        word_embed_proj_dim=50,
    )
    model, _ = load_in_q4(OPTForCausalLM(config), tmp_path)
    assert isinstance(model.get_output_embeddings(), torch.nn.Linear)


def test_it_is_said_if_few_weights_are_rounded(tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        vocab_size=300,
        hidden_size=64,
        moe_intermediate_size=64,
        num_experts=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    _, said = load_in_q4(Qwen3MoeForCausalLM(config), tmp_path)
    assert any("of its weights are in q4, the others (experts, say) in bfloat16" in s for s in said)


def test_layers_that_do_not_fit_stay_exact_and_a_model_without_any_is_refused(
    tmp_path: Path,
) -> None:
    def ask(*columns: int) -> Path:
        tensors = [
            Tensor(
                name=f"model.layers.{i}.mlp.down_proj.weight",
                shape=(64, n),
                chunks=[np.ones((64, n), np.float32)],
            )
            for i, n in enumerate((*columns, 24))
        ]
        head = np.ones((8, 24), np.float32)
        tensors.append(Tensor(name="lm_head.weight", shape=(8, 24), chunks=[head]))
        write_weights(tmp_path / "w.safetensors", tensors, "q4")
        return tmp_path / "w.safetensors"

    from safetensors.torch import load_file

    state = load_file(ask(64))
    assert state["model.layers.0.mlp.down_proj.weight"].shape == (64, 32)
    assert state["model.layers.1.mlp.down_proj.weight"].dtype is torch.bfloat16
    with pytest.raises(ModelLoadError, match="another dtype"):
        ask()
    small = SimpleNamespace(modules=list, get_output_embeddings=lambda: None)
    with pytest.raises(ValueError, match="another dtype"):
        rounded_layers.round_layers(small, "q4")  # pyright: ignore[reportArgumentType] - no layer
