"""Products in bfloat16 without instructions for them: the same numbers, whichever way they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor, dtype

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from torch import nn  # noqa: E402 - only where they are
from transformers import (  # noqa: E402
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from cotkit.backends.hf import loading, products  # noqa: E402
from cotkit.backends.hf.forward import Network, make_context  # noqa: E402
from cotkit.backends.hf.products import LinearByPieces, multiply, multiply_by_pieces  # noqa: E402
from cotkit.backends.hf.source import Placement  # noqa: E402

ROUNDED = 2**-8  # of a number, when it becomes bfloat16


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without instructions for bfloat16."""
    monkeypatch.setattr(products, "is_fast_in_bfloat16", lambda: False)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("shape", [(1, 96), (3, 96), (4, 96), (2, 40, 96), (1, 0, 96)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_by_pieces_is_the_layer(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], bias: bool
) -> None:
    monkeypatch.setattr(products, "_PIECE", 96 * 130)  # 128 rows at a time: two pieces and a rest
    torch.manual_seed(1)
    layer = nn.Linear(96, 300, bias=bias).bfloat16()
    ours = LinearByPieces(layer)
    assert ours.weight is layer.weight
    assert ours.bias is layer.bias
    x = torch.randn(shape).bfloat16()
    with torch.inference_mode():
        exact = nn.functional.linear(
            x.double(), layer.weight.double(), layer.bias.double() if bias else None
        )
        got = ours(x)
    assert got.shape == exact.shape
    assert got.dtype is torch.bfloat16
    assert got.is_contiguous()
    bound = ROUNDED * exact.abs() + 1e-5  # rounded once, at the end
    assert bool(((got.double() - exact).abs() <= bound).all())


@pytest.mark.parametrize("fast", [False, True])
def test_pieces_are_multiplied_in_the_numbers_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(products, "is_fast_in_bfloat16", lambda: fast)
    torch.manual_seed(2)
    weight, rows = torch.randn(200, 64), torch.randn(7, 64).bfloat16()
    kinds: list[dtype] = []

    def read(part: slice, into: Tensor) -> None:
        kinds.append(into.dtype)
        into.copy_(weight[part])

    got = multiply_by_pieces(rows, read, 200)
    kept = weight.bfloat16().double() if fast else weight.double()
    exact = rows.double() @ kept.t()
    assert set(kinds) == {torch.float32}
    assert float((got.double() - exact).abs().max()) < ROUNDED * float(exact.abs().max())


def test_attention_multiplies_alike_on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    left, right = torch.randn(2, 5, 16).bfloat16(), torch.randn(2, 16, 9).bfloat16()
    exact = left.double() @ right.double()
    for fast in (False, True):
        monkeypatch.setattr(products, "is_fast_in_bfloat16", lambda fast=fast: fast)
        got = multiply(left, right)
        assert got.dtype is torch.float32
        assert float((got.double() - exact).abs().max()) < ROUNDED * float(exact.abs().max())
    assert torch.equal(multiply(left.double(), right.double()), exact.float()), "as it is"


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300,
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4))


@pytest.mark.parametrize(("model", "n_layers"), [(llama, 15), (gpt2, 9)])
def test_a_model_answers_as_on_a_processor_with_instructions(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: Callable[[], PreTrainedModel],
    n_layers: int,
) -> None:
    torch.manual_seed(4)
    model().save_pretrained(tmp_path)
    placement = Placement(device="cpu", dtype="bfloat16", spread=False)

    def load(*, fast: bool) -> Network:
        monkeypatch.setattr(products, "is_fast_in_bfloat16", lambda: fast)
        network = loading.load_network(tmp_path, placement, print)
        assert network.mode == "packed"
        return network

    def read(network: Network) -> Tensor:
        context = make_context(network)
        for _ in range(3):
            context.add()
        texts = [[5, 6, 7, 8, 9], [9, 8], [11, 12, 13]]
        with torch.inference_mode():
            return torch.cat([context.forward(texts), context.forward([[1], [2], [3]])])

    with_instructions = load(fast=True)
    exact = read(with_instructions)
    without = load(fast=False)
    got = read(without)
    replaced = [part for part in without.model.modules() if isinstance(part, LinearByPieces)]
    assert len(replaced) == n_layers
    assert not any(isinstance(part, LinearByPieces) for part in with_instructions.model.modules())
    head, embeddings = without.model.get_output_embeddings(), without.model.get_input_embeddings()
    assert isinstance(head, LinearByPieces)
    assert isinstance(embeddings, nn.Embedding)
    assert head.weight is embeddings.weight, "tied as before"
    assert float((got - exact).abs().max()) < 0.03 * float(exact.max() - exact.min())
