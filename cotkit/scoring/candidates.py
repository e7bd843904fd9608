"""Stage 2, candidates: the pieces of a text that may say the answer, the best rank first.

The ranks, each with its reason, are in ``docs/readers.md``. What stands in a sentence that
supposes, quotes or rejects (``If no jar broke, the answer is 50``) is no candidate at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from cotkit.scoring.scope import CLIP, clip_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A piece of text that may say the answer."""

    rule: str
    """The name of the rule that points to it, e.g. ``"answer-line"``."""
    piece: str
    """The text after the cue, or inside the marks; at most ``CLIP`` characters."""
    after: str = ""
    """How the text goes on behind the piece; at most ``CLIP`` characters."""


_VERB = (
    r"is|are|was|were|=|:|would be|should be|must be|will be|has to be|(?:comes?"
    r"|came) (?:out )?(?:to|as)"
    r"(?: be)?|works? out (?:to|as)(?: be)?|turns? out (?:to be|as)|equals?(?: to)?|becomes|remains"
)
_ANSWER = re.compile(
    r"(?:\banswers?|\b(?:correct|right|best|final|chosen) (?:option|choice))(?:[*_`\"')\]]{0,3})"
    r"(?:\s(?:to|for|of|in)\s[^\n.:=?!]{1,60}?)?"
    rf"[ \t*_`\u00a0]{{0,4}}(?P<verb>{_VERB})(?![A-Za-z])",
    re.IGNORECASE,
)
_OTHER_ANSWER = re.compile(
    r"\b(?:wrong|incorrect|false|first|initial|previous|earlier|old|naive|tempting|partial|another"
    r"|intermediate|possible|student'?s|his|her|their)\s{1,2}\Z",
    re.IGNORECASE,
)
_FINAL = re.compile(r"\bfinal[ \t*_]{1,3}\Z", re.IGNORECASE)
_HEADING = re.compile(
    r"^[^\S\n]{0,4}[#*_=\-> ]{0,8}(?:(?:the"
    r"|my)\s)?(?P<final>final\s)?(?:numeric(?:al)?\s)?answer[*_# ]{0,8}"
    r"(?:\n|(?<=[ *])(?=[*(]{0,3}[$€£¥\\]?[-−]?[0-9]))",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_START = re.compile(r"(?:[.!?。！？]|\n)(?=\s|[A-Z\u3040-\u9fff]|\Z)")
_SUPPOSED = re.compile(
    r"\b(?:if|unless|suppos(?:e|ing)|assum(?:e|ing)|imagine|pretend|mistak\w+|wrongly|wrong"
    r"|incorrectly"
    r"|tempt\w+|naive(?:ly)?|careless\w*|trap|(?:first|initial) (?:guess|thought|try|attempt|idea)"
    r"|initially|at first|whether|had (?:he|she|they|it|we|there)|were (?:he|she|they|it|we|there)"
    r"|(?:not|n['’]t) (?:mean|say|imply|think|believe|conclude|that)|to (?:say|think|claim"
    r"|conclude)"
    r"|(?:he|she|they|people|students?|someone|somebody|one|many|some|others|you) (?:\w+ )?"
    r"(?:think|say|claim|believe|guess|conclude|answer))\b",
    re.IGNORECASE,
)
_SPEECH = re.compile(
    r"\b(?:says|said|writes|wrote|claims|claimed|thinks|argues|argued|insists|insisted|replies"
    r"|replied"
    r"|guesses|guessed|suggests|suggested|believes|of the form|for example|e\.g\.)\b"
    r"(?!.*\b(?:so|thus|hence|therefore|then)\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"[^\"”\n]{1,60}[\"”],?\s{1,2}(?:\w{1,20}\s)?(?:says|said|writes|wrote|claims|claimed|thinks"
    r"|thought"
    r"|argues|argued|insists|insisted|replies|replied|guesses|guessed|answers|answered|shouted)\b"
)
_LEAD = re.compile(r"(?:[\s:：*_=]|\$\$\s|\\\[\s|>\s)*+")
_BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\[{}]|[{}]")
_BARE_BOX = re.compile(r"\\boxed\s{0,2}(-?[0-9]{1,20}|[A-Za-z])\b")
_HASH = re.compile(r"(?<!#)#{4}(?!#)[ \t]{0,8}([^\s#][^\n#]*)")
_TAG = re.compile(
    r"(?P<open><(?:final[_ -]?)?(?:answer|ans|result)>|<final>|\[(?:final[_ -]?)?answer\]"
    r"|<\|begin_of_box\|>)"
    r"|</(?:final[_ -]?)?(?:answer|ans|result)>|</final>|\[/(?:final[_ -]?)?answer\]"
    r"|<\|end_of_box\|>",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"[\"'](?P<key>[A-Za-z_ -]{0,24}?(?:answer|result|solution|output|choice"
    r"|prediction))[\"']\s{0,4}:\s{0,4}"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,400}\"|'[^'\n]{0,400}'|\[[^\[\]\n]{0,200}\]"
    r"|[^,}\]\n\"'\[{]{1,100})",
    re.IGNORECASE,
)
_OTHER_FIELD = re.compile(r"wrong|incorrect|previous|initial|first|student|expected", re.IGNORECASE)
_CUE = re.compile(
    r"(?:最终|最後の?|最后|正确|正しい)?(?:的?答案|答え|正解|解答|答)\s?(?:就?是|应?为|應?為|は"
    r"|[:：=])"
    r"|(?:최종\s?)?(?:정답|답)(?:은|는|이)?\s?:?"
    r"|(?:الجواب|الإجابة|الاجابة)(?:\s(?:النهائية?|الصحيحة?))?\s?(?:هو|هي|[:=])|उत्तर\s?(?:है"
    r"|[:=])|תשובה\S{0,3}\s?(?:היא|[:=])"
    r"|คำตอบ\s?(?:คือ|[:=])"
    r"|\b(?:r[ée]ponse(?:\s(?:finale|correcte|exacte))?\s{0,2}(?:est|[:=])"
    r"|(?:respuesta|resposta|risposta|soluci[óo]n)(?:\s(?:final[ei]?|correct[ao]))?\s{0,2}(?:es|é"
    r"|è|e|[:=])"
    r"|(?:antwort|ergebnis|l[öo]sung)\s{0,2}(?:lautet|ist|betr[äa]gt|[:=])|antwoord\s{0,2}(?:is"
    r"|[:=])"
    r"|svar(?:et)?\s{0,2}(?:är|er|[:=])|vastaus\s{0,2}(?:on|[:=])|odpowied[źz]\s{0,2}(?:to|brzmi"
    r"|[:=])"
    r"|ответ(?:ом)?\s{0,2}(?:является|будет|равен|[:=—–-])|відповідь\s{0,2}[:=—–-]"
    r"|cevap\s{0,2}[:=]?"
    r"|jawaban(?:nya)?\s{0,2}(?:adalah|[:=])|(?:đáp án|câu trả lời)\s{0,2}(?:là|[:=])"
    r"|odpověď\s{0,2}(?:je|zní|[:=])|v[áa]lasz\s{0,2}[:=]|r[ăa]spuns(?:ul)?\s{0,2}(?:este|[:=])"
    r"|απάντηση\s{0,2}(?:είναι|[:=])|jibu\s{0,2}(?:ni|[:=]))"
    r"|(?:^|[\n.!?*#>])[ \t*_#>]{0,6}(?:(?:final|overall|end)\s)?(?:result|ans\.?|solution"
    r"|conclusion)[*_]{0,3}\s{0,2}[:=]"
    r"|\b(?:final|overall|end) (?:result|total|value|number|amount|count|sum) (?:is|=|:|equals)",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t\r\n]+")
_MANY = 64  # markers of one kind that are looked at
_OBJECT = 20_000  # characters at the end in which an object is looked for


def find_candidates(text: str) -> Iterator[Candidate]:
    """Yield what the markers of a text point to, by rank.

    Answer lines in order; the last box; the last tag; the last field of an object; hash lines in
    order; labels (those of a final answer first); cues of other words and languages, last first.
    """
    lines, labels = _find_answers(text)
    yield from lines
    if (box := _find_box(text)) is not None:
        after = text[box.stop : box.stop + CLIP].lstrip("}$")
        yield Candidate(rule="boxed", piece=clip_line(text[box]), after=after)
    yield from _find_tags(text)
    yield from _find_fields(text)
    for line in islice(_HASH.finditer(text), _MANY):
        yield Candidate(rule="hash", piece=line[1][:CLIP])
    yield from labels
    cues = list(islice(_CUE.finditer(text), _MANY))
    for cue in reversed(cues):
        yield _make_candidate("cue", text, cue.end(), len(text))


def last_line(text: str) -> Iterator[Candidate]:
    """Yield the last line that is not blank: the guess where no marker says anything."""
    lines = [line for line in text.splitlines() if line.strip()]
    yield from (Candidate(rule="last-line", piece=line[-CLIP:]) for line in lines[-1:])


def _find_answers(text: str) -> tuple[list[Candidate], list[Candidate]]:
    """Return the answer lines (``The answer is X``), and the labels (``Answer: X``), by rank."""
    cues = list(_ANSWER.finditer(text))
    if len(cues) > 2 * _MANY:
        cues = cues[:_MANY] + cues[-_MANY:]
    ends = [*(_cue_start(text, cue.start()) for cue in cues), len(text)][1:]
    lines: list[Candidate] = []
    labels: list[Candidate] = []
    finals: list[Candidate] = []
    for cue, end in zip(cues, ends, strict=True):
        before = text[max(0, cue.start() - 200) : cue.start()]
        if _OTHER_ANSWER.search(before):
            continue
        is_label = cue["verb"] == ":"
        before = _SENTENCE_START.split(before)[-1]
        if not is_label and (_SUPPOSED.search(before) or _SPEECH.search(before)):
            continue
        rule = "label" if is_label else "answer-line"
        candidate = _make_candidate(rule, text, cue.end(), max(end, cue.end()))
        if candidate.piece and not _QUOTED.match(candidate.piece):
            is_final = is_label and _FINAL.search(before)
            (finals if is_final else labels if is_label else lines).append(candidate)
    for heading in islice(_HEADING.finditer(text), _MANY):
        candidate = _make_candidate("label", text, heading.end(), len(text))
        (finals if heading["final"] else labels).append(candidate)
    return lines, finals[::-1] + labels


def _cue_start(text: str, start: int) -> int:
    """Return where the words begin that belong to a cue: ``so the final`` of ``answer is``."""
    words = re.search(
        r"(?:\b(?:so|thus|the|my|our|final|correct|right|best)\s{1,3}){0,4}\Z",
        text[max(0, start - 40) : start],
        re.IGNORECASE,
    )
    return start - len(words[0]) if words else start


def _make_candidate(rule: str, text: str, start: int, end: int) -> Candidate:
    lead = _LEAD.match(text, start, end)
    assert lead is not None  # it can match nothing
    piece = text[lead.end() : min(end, lead.end() + CLIP)].partition("\n")[0]
    behind = lead.end() + len(piece)
    return Candidate(rule=rule, piece=piece, after=text[behind : behind + CLIP])


def _find_tags(text: str) -> Iterator[Candidate]:
    """Yield the last closed ``<answer>``; where none is closed, what follows the last opened."""
    opened = closed = None
    for tag in _TAG.finditer(text):
        if tag["open"]:
            opened = tag.end()
        elif opened is not None:
            closed, opened = text[opened : tag.start()], None
    if closed is not None:
        yield Candidate(rule="tag", piece=_BLANKS.sub(" ", closed[:CLIP]).strip())
    elif opened is not None:
        yield _make_candidate("tag", text, opened, len(text))


def _find_fields(text: str) -> Iterator[Candidate]:
    """Yield the last field of an object that is called an answer, else a result or the like."""
    tail = text[-_OBJECT:]
    if "{" not in tail:
        return
    fields = [field for field in _FIELD.finditer(tail) if not _OTHER_FIELD.search(field["key"])]
    answer_fields = [field for field in fields if field["key"].lower().endswith("answer")]
    for field in (answer_fields or fields)[-1:]:
        value = field["value"].strip()
        if value.startswith('"'):
            try:
                value = str(json.loads(value))
            except ValueError:
                value = value.strip('"')
        yield Candidate(rule="json", piece=value.strip("'"))


def last_boxed(text: str) -> str | None:
    r"""Return the contents of the last closed ``\boxed{}``; None if there is none."""
    box = _find_box(text)
    return None if box is None else text[box]


def _find_box(text: str) -> slice | None:
    open_at: list[int] = []
    box: slice | None = None
    for brace in _BRACE.finditer(text):
        if brace[0].endswith("{") and brace[0] != r"\{":
            open_at.append(brace.end() if len(brace[0]) > 1 else -1)
        elif brace[0] == "}" and open_at and (start := open_at.pop()) >= 0:
            box = slice(start, brace.start())
    if box is None and (bare := list(islice(_BARE_BOX.finditer(text), _MANY))):
        return slice(*bare[-1].span(1))
    return box
