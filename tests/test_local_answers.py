"""What the files of a local model say of its answers: where they end, reasoning, bans, prompts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the hf extra is not installed")
pytest.importorskip("transformers", reason="the hf extra is not installed")

from tokenizers import AddedToken, Tokenizer, processors  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from cotkit.backends.hf import Hf, template  # noqa: E402
from cotkit.backends.hf.prompt import Prompter  # noqa: E402
from cotkit.errors import ModelLoadError, UsageError  # noqa: E402
from cotkit.identity import backend_key  # noqa: E402
from cotkit.stops import answer_line_end  # noqa: E402
from cotkit.types import Completion, Decoding, Message, Request  # noqa: E402
from tests.tiny_model import build_tiny_model  # noqa: E402

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ANSWER_LINE = Decoding(max_tokens=300, stop_after=answer_line_end("number"))
HARMONY = ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(
    folder: Path, *, specials: Sequence[str] = (), chat_template: str | None = None, **edits: object
) -> Path:
    """A tiny model with more special tokens, and other values in its generation config."""
    build_tiny_model(folder, chat_template=chat_template, has_pad=True)
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in specials])
    tokenizer.save(str(path))
    if specials:
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        model.resize_token_embeddings(280, mean_resizing=False)
        model.save_pretrained(folder)
    config = folder / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | edits))
    return folder


def ask(text: str, decoding: Decoding) -> Request:
    return Request(messages=(Message(role="user", content=text),), decoding=decoding)


def run(backend: Hf, *requests: Request) -> list[Completion]:
    async def main() -> list[Completion]:
        try:
            answers = await asyncio.gather(*(backend.generate(each) for each in requests))
        finally:
            await backend.close()
        return [completion for answer in answers for completion in answer]

    return asyncio.run(main())


def speak(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let the model write a text, tokenized as its tokenizer would."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids = iter([*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])

    def choose(_logits: object, sequences: Sequence[object]) -> list[int]:
        return [next(ids) for _ in sequences]

    monkeypatch.setattr("cotkit.backends.hf.batch.choose_tokens", choose)


THOUGHT = "Perhaps the answer is 31. No, one more.\n"
REPLY = "30 + 2 = 32. The answer is 32."


@pytest.mark.parametrize(
    ("specials", "opening", "text", "n_thoughts"),
    [
        ((), "<think>\n", f"{THOUGHT}</think>\n\n{REPLY}", 1),
        (("<think>", "</think>"), "<think>\n", f"{THOUGHT}</think>{REPLY}", 1),
        (("<think>", "</think>"), "", f"<think>{THOUGHT}</think>{REPLY}", 1),
        (("[THINK]", "[/THINK]"), "", f"[THINK]{THOUGHT}[/THINK]{REPLY}", 1),
        ((), "<think>\n\n</think>\n\n", REPLY, 0),
        (
            HARMONY,
            "",
            "<|channel|>analysis<|message|>" + THOUGHT + "<|end|><|start|>assistant"
            "<|channel|>final<|message|>" + REPLY + "<|return|>run on",
            1,
        ),
        (("<|channel>", "<channel|>"), "", f"<|channel>thought\n{THOUGHT}<channel|>{REPLY}", 1),
    ],
)
def test_reasoning_is_known_however_it_is_marked(  # noqa: PLR0917 - parametrized
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    specials: Sequence[str],
    opening: str,
    text: str,
    n_thoughts: int,
) -> None:
    chat_template = CHATML.replace("assistant\n{% endif", f"assistant\n{opening}{{% endif")
    if specials is HARMONY:
        chat_template = chat_template.replace("<|im_start|>", "<|start|>").replace(
            "\n{{ m.content }}<|im_end|>\n", "<|message|>{{ m.content }}<|end|>"
        )
    folder = build(tmp_path, specials=specials, chat_template=chat_template)
    speak(monkeypatch, folder, text)
    (answer,) = run(
        Hf(model=str(folder), dtype="float32", chat=True), ask("How many?", ANSWER_LINE)
    )
    assert answer.text.strip() == REPLY
    assert answer.stop_reason == "stop"
    assert (answer.reasoning or "").count("answer is 3") == n_thoughts
    assert not any(marker in answer.text + (answer.reasoning or "") for marker in specials)


def test_reasoning_that_the_template_opened_and_nothing_closed_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = CHATML.replace("assistant\n{% endif", "assistant\n<think>{% endif")
    folder = build(tmp_path, chat_template=opening)
    speak(monkeypatch, folder, "The answer is 31. But is it? " * 20)
    backend = Hf(model=str(folder), dtype="float32", chat=True)
    decoding = Decoding(max_tokens=190, max_thinking_tokens=10, stop=("But",))
    (answer,) = run(backend, ask("How many?", decoding))
    assert (answer.text, answer.stop_reason, answer.n_generated_tokens) == ("", "length", 200)


@pytest.mark.parametrize("chat", [True, False])
def test_the_templates_end_of_turn_token_ends_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: bool
) -> None:
    folder = build(tmp_path, specials=["<|im_start|>", "<|im_end|>"], chat_template=CHATML)
    speak(monkeypatch, folder, "Six jars.<|im_end|>\n<|im_start|>user\nAnd 3 more?<|im_end|>")
    backend = Hf(model=str(folder), dtype="float32", chat=chat)
    assert backend.info.settings["end_of_turn"] == "<|im_end|>"
    (answer,) = run(backend, ask("How many?", Decoding(max_tokens=99)))
    assert (answer.text, answer.stop_reason) == ("Six jars.", "stop")


@pytest.mark.parametrize(
    ("chat_template", "specials", "edits", "expected"),
    [
        (CHATML, ("<|im_end|>",), {}, ("<|im_end|>",)),
        (CHATML, ("<|im_end|>",), {"eos_token_id": [256, 259]}, ()),  # it is called one already
        (CHATML, (), {}, ()),  # plain text to this tokenizer
        ("{% for m in messages %}<u>{{ m.content }}{% endfor %}", ("<u>",), {}, ("<u>",)),
        ("{{ raise_exception('no') }}", ("<u>",), {}, ()),
        ("{% for m in messages %}{% generation %}{{ m.content }}<e>{% endgeneration %}{% endfor %}",
         ("<e>",), {}, ("<e>",)),
        (None, ("<|im_end|>",), {}, ()),
    ],
)  # fmt: skip
def test_which_tokens_end_a_turn(
    tmp_path: Path,
    chat_template: str | None,
    specials: Sequence[str],
    edits: Mapping[str, object],
    expected: tuple[str, ...],
) -> None:
    folder = build(tmp_path, specials=specials, chat_template=chat_template, **edits)
    assert template.end_of_turn_tokens(folder) == expected


PROMPTS = ("one and one", "one and one and one", "two, three")


@pytest.mark.parametrize(
    "edits",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(60, 130)), "begin_suppress_tokens": [31, 200]},
        {"bad_words_ids": [[i] for i in range(0, 250, 3)], "min_new_tokens": 9},
        {"sequence_bias": [[[5], 8.0], [[6, 7], -3.0]], "encoder_repetition_penalty": 1.5},
        {"exponential_decay_length_penalty": [3, 1.5], "encoder_no_repeat_ngram_size": 1},
    ],
    ids=lambda edits: next(iter(edits)),
)
def test_the_generation_config_is_followed_as_by_generate(
    tmp_path: Path, edits: dict[str, Any]
) -> None:
    folder = build(tmp_path, **edits)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected: list[str] = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, do_sample=False, max_new_tokens=16, pad_token_id=0)
        new = out[0, ids["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(new, skip_special_tokens=True))
    requests = [ask(prompt, Decoding(max_tokens=16)) for prompt in PROMPTS]
    applied = Hf(model=str(folder), dtype="float32")
    plain = Hf(model=str(folder), dtype="float32", generation_config="off")
    assert [each.text for each in run(applied, *requests)] == expected
    assert [each.text for each in run(plain, *requests)] != expected
    assert all(name in applied.info.settings["generation_config"] for name in edits)
    # what 0.1 stored was made without them
    assert "generation_config" not in plain.info.settings
    assert backend_key(applied.info) != backend_key(plain.info)


def test_stop_strings_of_the_generation_config_end_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(tmp_path, stop_strings=["###"])
    speak(monkeypatch, folder, "Six.### And more")
    (answer,) = run(Hf(model=str(folder), dtype="float32"), ask("x", Decoding(max_tokens=50)))
    assert (answer.text, answer.stop_reason) == ("Six.", "stop")


@pytest.mark.parametrize(
    ("edits", "sentence"),
    [
        ({"num_beams": 4}, "num_beams=4 is not supported (generation_config=off runs without it)"),
        ({"guidance_scale": 2.0}, "guidance_scale=2.0 is not supported"),
        ({"repetition_penalty": "1.2"}, "repetition_penalty=['1.2'] cannot be used"),
        ({"suppress_tokens": ["x"]}, "suppress_tokens=['x'] cannot be used"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_way_out(
    tmp_path: Path, edits: dict[str, Any], sentence: str
) -> None:
    folder = build(tmp_path, **edits)
    with pytest.raises(ModelLoadError) as refused:
        _ = Hf(model=str(folder)).info
    assert f"{folder / 'generation_config.json'}: {sentence}" in str(refused.value)
    assert "generation_config" not in Hf(model=str(folder), generation_config="off").info.settings


def test_sampling_settings_and_neutral_values_change_no_identity(tmp_path: Path) -> None:
    plain, edited = build(tmp_path / "a"), build(tmp_path / "b")
    path = edited / "generation_config.json"
    neutral = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.05}
    neutral |= {"repetition_penalty": 1.0, "num_beams": 1, "suppress_tokens": []}
    path.write_text(json.dumps(json.loads(path.read_text()) | neutral))
    settings = [dict(Hf(model=str(each)).info.settings) for each in (plain, edited)]
    assert settings[0] == settings[1]
    assert set(settings[0]) == {"engine", "dtype", "device", "chat_template", "quantisation"}


@pytest.mark.parametrize("begins", [True, False])
def test_what_a_tokenizer_appends_is_not_part_of_a_raw_prompt(tmp_path: Path, begins: bool) -> None:
    folder = build(tmp_path)
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    single = f"{'<begin> ' if begins else ''}$A <end>"
    ids = [(text, tokenizer.token_to_id(text)) for text in ("<begin>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    tokenizer.save(str(path))
    prompt = Prompter(folder, chat=False).tokens(ask("one<end>two", Decoding(max_tokens=1)))
    assert prompt == (*([257] if begins else []), *b"one", 256, *b"two")
    assert Hf(model=str(folder)).info.settings["raw_prompt"] == "nothing appended"


def test_the_chat_template_gets_the_users_variables(tmp_path: Path) -> None:
    thinking = "{% if enable_thinking is not false %}<think>{% endif %}"
    folder = build(tmp_path, chat_template=CHATML.replace("{% endif %}", thinking + "{% endif %}"))
    plain = Hf(model=str(folder), chat=True)
    off = Hf(model=str(folder), chat=True, chat_template_kwargs='{"enable_thinking": false}')
    request = ask("x", Decoding(max_tokens=1))
    counts = [asyncio.run(each.count_tokens(request)) for each in (plain, off)]
    assert counts[0] - counts[1] == len("<think>")
    assert off.info.settings["chat_template_kwargs"] == '{"enable_thinking":false}'
    assert plain.info.settings["reasoning"] == "opened by the template"
    assert "reasoning" not in off.info.settings
    for wrong, chat in (("[1]", True), ("{", True), ('{"a": 1}', False)):
        with pytest.raises(UsageError):
            Hf(model=str(folder), chat=chat, chat_template_kwargs=wrong)
