"""Stage 1, where the answer may stand: a reply without its reasoning and what it ran on into."""

from __future__ import annotations

import functools
import re

from cotkit.reasoning import split_reasoning

CLIP = 1000
"""Characters of a line that are looked at; keeps every rule linear."""

_MARKER = (  # what chat templates put between turns, written out as text
    r"(?:<\|(?!(?:channel|message|constrain|begin_of_box|end_of_box)\|>)[/A-Za-z][\w ▁/-]{0,30}\|>"
    r"|<｜[^<>｜\n]{1,30}｜>|</?s>|<(?:end|start)_of_turn>|<(?:eos|bos|pad|eot|eod|unk)>"
    r"|<end_of_utterance>|<extra_id_[0-9]{1,2}>|<\|turn>|<turn\|>|\[\|/?[A-Za-z_]{2,20}\|\]"
    r"|\[e~\[|\]~b\]|</?(?:user|human|assistant|bot|role)>|\[/?INST\]|<</?SYS>>)"
)
_ROLE = (
    r"(?:human|user|assistant|ai|bot|gpt|chatgpt|utilisateur|usuario|benutzer|utente|пользователь"
    r"|用户|助手|ユーザー|アシスタント|사용자)"
)
_PROBLEM = (
    r"(?:question|problem|instruction|exercise|example|input|task|query|prompt|conversation"
    r"|dialogue|pregunta|problema|frage|aufgabe|domanda|pergunta|exercice|ejercicio|вопрос|задача"
    r"|vraag|pytanie|fråga|spørgsmål|kysymys|otázka|soru|soal|swali|câu hỏi|प्रश्न|প্রশ্ন|ప్రశ్న"
    r"|คำถาม|سؤال|问题|題目|题目|例题|問題|質問|질문|문제)"
)
_LEADING = re.compile(
    rf"(?:\s*(?:{_MARKER}(?:\s*(?:assistant|model)\b)?"
    r"|[#*]{0,4}\s?(?:assistant|model|response)[*]{0,3}\s?:))*",
    re.IGNORECASE,
)
_TURN_MARKER = re.compile(_MARKER, re.IGNORECASE)
_TURN_LINE = re.compile(
    rf"[^\S\n]{{0,4}}[#*_<\[]{{0,6}}\s?{_ROLE}(?: ?[0-9]{{1,2}})?[*_>\]]{{0,3}}[ \t]{{0,2}}[:：]"
    r"|(?:user|human|assistant)\n|system:\s{1,2}you\b",
    re.IGNORECASE,
)
_TURN_INSIDE = re.compile(r"(?<=[.!?>])[ \t]{1,2}(?:human|user|assistant):", re.IGNORECASE)
_TASK_LINE = re.compile(
    rf"[^\S\n]{{0,4}}[#*_]{{0,6}}[ \t]{{0,2}}(?:(?:next|new|another|follow-up)[ \t])?{_PROBLEM}s?"
    r"(?:[ \t]statement)?[ \t]{0,2}(?:#?[0-9]{1,4})?[*_]{0,3}[ \t]{0,2}[:：]"
    rf"|#{{1,6}}[ \t]{{1,2}}[*_]{{0,3}}{_PROBLEM}(?:[ \t]#?[0-9]{{1,4}})?[*_]{{0,3}}[ \t]*(?:\n|\Z)"
    rf"|[*_]{{0,3}}{_PROBLEM}[ \t]#?[0-9]{{1,4}}[*_.]{{0,4}}[ \t]*(?:\n|\Z)|[问問][:：]",
    re.IGNORECASE,
)
_TASK_INSIDE = re.compile(r"(?<!\S)\*{0,3}(?:Q|Question)\*{0,3}:", re.IGNORECASE)
_MARKS = re.compile(r"[<\[\]]")  # every marker between turns has one of these
_WORD = re.compile(r"[^\W_]")
_SAYS_SOMETHING = re.compile(
    r"\d|\banswer\b|\([A-Z]\)|答|정답|\b(?:respuesta|r[ée]ponse|antwort|resposta|risposta|ответ)\b",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"~~(?=\S)[^~\n]{1,400}~~|<(del|strike)>[^<>\n]{1,400}</\1>", re.IGNORECASE)


def answer_scope(text: str) -> str:
    """Return the part of a reply in which its answer may stand."""
    answer = before_run_on(split_reasoning(text)[1])
    if "~~" in answer or "</" in answer:
        answer = _STRUCK.sub(" ", answer)
    return answer


def runs_on(text: str) -> bool:
    """Return whether a reply goes on into another turn or problem, which is cut before reading."""
    answer = split_reasoning(text)[1]
    leading = _LEADING.match(answer)
    assert leading is not None  # it can match nothing
    behind = answer[leading.end() + len(before_run_on(answer)) :]
    if not behind:
        return False
    position = 0
    while turn := _find_turn(behind, position):
        if _WORD.search(behind, position, turn[0]):
            return True
        position = turn[1]
    return _WORD.search(behind, position) is not None


@functools.lru_cache(maxsize=4)  # asked once for the readers and once for the count of run-ons
def before_run_on(text: str) -> str:
    """Cut a text where the model runs on into another turn or another problem.

    A marker of a turn counts once a word stands before it, a new problem (``Q:``, ``Instruction:``)
    only behind what may be an answer: a text may also begin by restating its own problem.
    """
    leading = _LEADING.match(text)
    assert leading is not None  # it can match nothing
    text = text[leading.end() :]
    if (word := _WORD.search(text)) and (turn := _find_turn(text, word.end())):
        text = text[: turn[0]]
    something = _SAYS_SOMETHING.search(text)
    task = _find_task(text, something.end()) if something else None
    return text if task is None else text[:task]


# Patterns of whole lines are tried where lines begin only: a search would try them at every place.


def _find_turn(text: str, start: int) -> tuple[int, int] | None:
    """Return where the first marker of a turn stands from ``start`` on: begin and end."""
    matches = [_find_line(_TURN_LINE, text, start)]
    if _MARKS.search(text, start):
        matches.append(_TURN_MARKER.search(text, start))
    if ":" in text:
        matches.append(_TURN_INSIDE.search(text, start))
    return min((match.span() for match in matches if match), default=None)


def _find_task(text: str, start: int) -> int | None:
    """Return where a new problem begins from ``start`` on."""
    line = _find_line(_TASK_LINE, text, start)
    inside = _TASK_INSIDE.search(text, start) if ":" in text else None
    return min((match.start() for match in (line, inside) if match), default=None)


def _find_line(pattern: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    """Return the first match of a pattern at the beginning of a line from ``start`` on."""
    if start == 0 and (match := pattern.match(text)):
        return match
    while end := text.find("\n", max(start - 1, 0)) + 1:
        if match := pattern.match(text, end):
            return match
        start = end + 1
    return None


def clip_line(line: str) -> str:
    """Return the end of a line, starting at a white space if it had to be cut."""
    if len(line) <= CLIP:
        return line
    end = line[-CLIP:]
    return end.partition(" ")[2] or end
