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
    to_bfloat16,
)
from cotkit.models.weights import Tensor, write_weights

torch = pytest.importorskip("torch")
from cotkit.backends.hf import rounded_layers  # noqa: E402 - only where torch is


def unpack(packed: npt.NDArray[np.uint8], scales: Bfloat16Bits) -> Float32Array:
    """The numbers that q4 stands for, by its definition and not by the code under test."""
    n_rows, n_groups, _ = scales.shape
    halves = packed.reshape(n_rows, n_groups, Q4_GROUP // 2)
    numbers = np.concatenate([halves % 16, halves // 16], -1).astype(np.float32)
    scale, zero = from_bfloat16(scales[..., 0]), from_bfloat16(scales[..., 1])
    return ((numbers - 8) * scale[..., None] + zero[..., None]).reshape(n_rows, -1)


@pytest.mark.parametrize("most", [15, 14, 12])
def test_what_has_four_bits_already_stays_as_it_is(most: int) -> None:
    drawn = np.random.default_rng(most)
    shape = (48, 6, Q4_GROUP)
    numbers = drawn.integers(0, most + 1, shape)
    numbers[..., 0], numbers[..., 1] = 0, most
    scale = from_bfloat16(to_bfloat16(drawn.uniform(0.01, 1, (48, 6, 1)).astype(np.float32)))
    rows = (numbers * scale).astype(np.float32).reshape(48, -1)
    assert np.abs(unpack(*round_to_q4(rows)) - rows).max() < 0.02 * scale.max()


def test_other_numbers_are_within_half_a_step() -> None:
    rows = np.random.default_rng(0).normal(size=(64, 8 * Q4_GROUP)).astype(np.float32)
    apart = np.abs(unpack(*round_to_q4(rows)) - rows).reshape(64, 8, -1).max(-1)
    groups = rows.reshape(64, 8, -1)
    widest_step = (groups.max(-1) - groups.min(-1)) / 12
    assert (apart < 0.55 * widest_step).all()
    assert apart.max() > 0


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
    monkeypatch.setattr(rounded_layers, "is_fast_in_bfloat16", lambda: fast)
    torch.manual_seed(3)
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
    assert many.dtype is torch.float32
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
    x = torch.randn(2, 5, 64)
    with torch.inference_mode():
        exact, got = layer(x), head(x)
    assert got.shape == exact.shape
    assert 0 < float((got - exact).abs().max()) < 0.02 * float(exact.abs().max())


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
    assert state["model.layers.1.mlp.down_proj.weight"].dtype is torch.float32
    with pytest.raises(ModelLoadError, match="another dtype"):
        ask()
    small = SimpleNamespace(modules=list, get_output_embeddings=lambda: None)
    with pytest.raises(ValueError, match="another dtype"):
        rounded_layers.round_layers(small, "q4")  # pyright: ignore[reportArgumentType] - no layer
