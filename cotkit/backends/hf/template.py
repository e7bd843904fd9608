"""What a folder's chat template and tokenizer say about where an answer begins and ends; no torch.

The template is rendered as transformers renders it, with an answer of ours in it: a token of the
vocabulary's own right after that answer is one that the model writes to end its turn, whatever the
folder calls its end token. Fine-tunes often keep the end token of their base model.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from cotkit.backends.hf.source import read_json, read_template
from cotkit.errors import ModelLoadError
from cotkit.reasoning import find_answer_start, is_marker

_ENDS = ("<|return|>", "<|call|>")  # of harmony: nothing of an answer follows them
_ANSWER = "cotkit-answer-7"
_QUESTION = "cotkit-question-7"

_USER = {"role": "user", "content": _QUESTION}
_ASSISTANT = {"role": "assistant", "content": _ANSWER}


@functools.lru_cache(maxsize=16)
def added_tokens(folder: Path) -> Mapping[str, int]:
    """Return the tokens that the tokenizer matches whole, with their ids."""
    later: Mapping[str, Any] = read_json(folder / "tokenizer_config.json").get(
        "added_tokens_decoder", {}
    )
    tokens = {str(each["content"]): int(i) for i, each in later.items()}
    for each in _tokenizer_part(folder, "added_tokens") or []:
        tokens[str(each["content"])] = int(each["id"])
    return tokens


@functools.lru_cache(maxsize=16)
def special_tokens(folder: Path) -> frozenset[str]:
    """Return the tokens that are left out of a text."""
    later = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    entries = [*(_tokenizer_part(folder, "added_tokens") or []), *later.values()]
    of_config = _special_tokens(folder).values()
    return frozenset((*(str(e["content"]) for e in entries if e.get("special")), *of_config))


def reasoning_form(folder: Path, *, chat: bool, kwargs: Mapping[str, Any]) -> str:
    """Return how a model's reasoning is marked where the text alone would not show it; or empty."""
    forms: list[str] = []
    if chat and find_answer_start(generation_prompt(folder, kwargs)) is None:
        forms.append("opened by the template")
    if any(map(is_marker, special_tokens(folder))):
        forms.append("marked by special tokens")
    return ", ".join(forms)


def end_of_turn_tokens(folder: Path) -> tuple[str, ...]:
    """Return the tokens that the chat template writes right after an answer; empty: none.

    Those that the folder calls end tokens already are left out.
    """
    template, tokens = read_template(folder), added_tokens(folder)
    if template is None:
        return ()
    ends: dict[str, None] = {}
    for messages in ([_USER, _ASSISTANT, _USER], [_USER, _ASSISTANT]):
        after = _render(folder, template, messages).rpartition(_ANSWER)[2].lstrip()
        token = max((each for each in tokens if after.startswith(each)), key=len, default="")
        if token:
            ends[token] = None
    ends |= {token: None for token in _ENDS if token in tokens}
    path = folder / "generation_config.json"
    config = read_json(path if path.is_file() else folder / "config.json")
    ids = config.get("eos_token_id")
    end_ids = ids if isinstance(ids, list) else [ids]
    eos_token = _special_tokens(folder).get("eos_token")
    return tuple(token for token in ends if token != eos_token and tokens[token] not in end_ids)


def undeclared_variables(text: str) -> set[str]:
    """Return the names that a template looks up and does not set itself."""
    return jinja2.meta.find_undeclared_variables(_environment().parse(text))


def generation_prompt(folder: Path, kwargs: Mapping[str, Any]) -> str:
    """Return what the template writes between the question and the model's first token."""
    template = read_template(folder)
    if template is None:
        return ""
    rendered = _render(folder, template, [_USER], add_generation_prompt=True, **kwargs)
    return rendered.rpartition(_QUESTION)[2]


def drops_appended_tokens(folder: Path) -> bool:
    """Return whether the tokenizer would end each text with a token of its own (mostly EOS)."""
    if read_json(folder / "tokenizer_config.json").get("add_eos_token"):
        return True
    processor = _tokenizer_part(folder, "post_processor") or {}
    steps = processor.get("processors", [processor]) if processor else []
    return any(
        step.get("type") in ("BertProcessing", "RobertaProcessing")
        or (
            step.get("type") == "TemplateProcessing"
            and "SpecialToken" in (step["single"] or [{}])[-1]
        )
        for step in steps
    )


def _tokenizer_part(folder: Path, key: str) -> Any:  # noqa: ANN401 - JSON
    """Return one value of ``tokenizer.json``, whose vocabulary takes long to read, or None."""
    path = folder / "tokenizer.json"
    _, separator, after = (path.read_text(encoding="utf-8") if path.is_file() else "").partition(
        f'"{key}":'
    )
    try:
        return json.JSONDecoder().raw_decode(after.lstrip())[0] if separator else None
    except (ValueError, RecursionError) as broken:
        raise ModelLoadError(f"{path}: not valid JSON: {broken}") from broken


def _render(
    folder: Path,
    template: str,
    messages: Sequence[Mapping[str, str]],
    **variables: Any,  # noqa: ANN401 - a template's
) -> str:
    """Render messages; empty where the template refuses them."""
    try:
        compiled = _environment().from_string(template)
        return compiled.render(messages=messages, **_special_tokens(folder), **variables)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError):
        return ""


@functools.lru_cache(maxsize=16)
def _special_tokens(folder: Path) -> Mapping[str, str]:
    content = {
        **read_json(folder / "special_tokens_map.json"),
        **read_json(folder / "tokenizer_config.json"),
    }
    values = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in content.items()
        if name.endswith("_token")
    }
    return {name: value for name, value in values.items() if isinstance(value, str)}


class _GenerationTag(jinja2.ext.Extension):
    """``{% generation %}`` marks what the model wrote; here its body is all that matters."""

    tags = {"generation"}  # noqa: RUF012 - as its base class has it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    variables: dict[str, Any] = environment.globals
    variables |= {"raise_exception": _refuse, "strftime_now": _format_now}
    return environment


def _to_json(value: object, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _format_now(form: str) -> str:
    return dt.datetime.now().astimezone().strftime(form)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
