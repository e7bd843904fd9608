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
from typing import cast

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
    r"is|are|was|were|(?P<weak>(?:would|might|may|could|can) be"
    r"|would come to)|(?:should|must|will) be|(?:has|ought) to be"
    r"|(?:will |should )?(?:comes?|came) (?:out )?(?:to|as|at)(?: be)?"
    r"|works? out (?:to|as|at)(?: be)?|turns? out (?:to be|as)|ends? up (?:being|as|at)"
    r"|amounts? to|adds? up to|equals?(?: to)?|becomes|remains|reads"
)
_ANSWER = re.compile(
    r"(?:\banswers?|\b(?:correct|right|best|final|chosen) (?:option|choice))(?:[*_`\"')\]]{0,3})"
    r"(?:\s(?:to|for|of|in)\s[^\n.:=?!]{1,60}?|,?\s(?:therefore|thus|then|hence|of course|finally"
    r"|here|now|in (?:the end|total)|(?:that )?(?:we|i|you) (?:get|got|find|found"
    r"|obtain(?:ed)?|want|need|seek)),?)?"
    rf"[ \t*_`\u00a0]{{0,4}}"
    rf"(?P<verb>(?<![A-Za-z])(?:{_VERB})(?![A-Za-z])|[=:→⇒]|[-=]>|[-–—](?=\s)|['’]s\b)",
    re.IGNORECASE,
)
_OTHER_ANSWER = re.compile(
    r"\b(?:wrong|incorrect|false|first|initial|previous|earlier|old|naive|tempting|partial|another"
    r"|intermediate|possible|student'?s|his|her|their)\s{1,2}\Z",
    re.IGNORECASE,
)
_HEDGED = re.compile(
    r"\b(?:perhaps|maybe|possibly|guess|attempt|tentative(?:ly)?|(?:in|for) case|in that case|when"
    r"|provided|as long as|without|otherwise|had)\b"
    r"|\b(?:intuitive|obvious|expected|typical|common|usual|quick|rough)\s{1,2}\Z",
    re.IGNORECASE,
)
_DOUBTED = re.compile(  # how a line goes on that its writer did not stand by
    r"[^.!?\n]{0,60}?(?:\b(?:if|unless|assuming|provided|had (?:we|he|she|they|it))\b"
    r"|[.!?…,]\s*(?:[-–—]\s*)?(?:but\s|oh,?\s|hmm+[,.]?\s)?(?:wait|actually|hold on|hmm|let me"
    r"|let's|on second|sorry|checking|i (?:made|forgot|missed))\b)"
    r"|(?:i|we|you|let|it|that|this|there|as follows|the following|given|found|based|in)\b",
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
_CONTRAST = re.compile(r"\b(?:but|however)\b", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:if|unless|suppos(?:e|ing)|assum(?:e|ing)|imagine|pretend|mistak\w+|wrongly|wrong"
    r"|incorrectly"
    r"|tempt\w+|naive(?:ly)?|careless\w*|trap|(?:first|initial) (?:guess|thought|try|attempt|idea)"
    r"|initially|at first|whether|had (?:he|she|they|it|we|there)|were (?:he|she|they|it|we|there)"
    r"|to (?:say|think"
    r"|claim|conclude)|(?:thinking|saying|claiming|believing|claim|belief|idea) that"
    r"|(?:he|she|they|people|students?|someone|somebody|one|many|some|others|you) (?:\w+ )?"
    r"(?:think|say|claim|believe|guess|conclude|answer))\b"
    r"|(?:\bnot|n['’]t) (?:\w+ )?(?:mean|say|imply|think|believe|conclude|know|follow|that)\b",
    re.IGNORECASE,
)
_SPEECH = re.compile(
    r"\b(?:says|said|writes|wrote|claims|claimed|thinks|argues|argued|insists|insisted|replies"
    r"|replied"
    r"|guesses|guessed|suggests|suggested|believes|told|heard|of the form|for example|e\.g\.)\b"
    r"(?!.*\b(?:so|thus|hence|therefore|then)\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"[^\"”\n]{1,60}[\"”],?\s{1,2}(?:\w{1,20}\s)?(?:says|said|writes|wrote|claims|claimed|thinks"
    r"|thought"
    r"|argues|argued|insists|insisted|replies|replied|guesses|guessed|answers|answered|shouted)\b"
)
_LEAD = re.compile(r"(?:[\s:：*_=]|\$\$\s|\\\[\s|>\s)*+")
_BRACE = re.compile(r"\\(?:boxed|fbox|answer|ans)\s{0,3}\{|\\[{}]|[{}]")
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
    r"[\"'](?P<key>[^\"'\n]{1,30})[\"']\s{0,4}:\s{0,4}"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,400}\"|'[^'\n]{0,400}'|\[[^\[\]\n]{0,200}\]"
    r"|[^,}\]\n\"'\[{]{1,100})",
    re.IGNORECASE,
)
_ANSWER_KEY = re.compile(
    r"(?:\A|_|final|the|my)ans\Z|answer(?:_?(?:value|number|text|letter|choice))?\Z"
    r"|r[ée]ponse|antwort|respuesta|resposta|risposta|ответ|答案|答え|정답",
)
_WEAK_KEY = re.compile(
    r"(?:\A|_)(?:final|result|solution|output|response|choice|option|prediction|total|value|label"
    r"|letter)(?:_?(?:value|number))?\Z"
)
_OTHER_KEY = re.compile(r"wrong|incorrect|previous|initial|first|student|expected|alternative")
_OPENS_OBJECT = re.compile(r"\s*(?:```[a-z]{0,9}\s|<json>\s*)?\s*[\[{]")
_CUE = re.compile(
    r"(?:最终|最后的?|最後の?|正确|正しい)?(?:的?答案|答え|正解|解答|答)\s?(?:就?是|应?为|應?為|は"
    r"|[:：=])[:：]?(?:一?共有?|总共)?"
    r"|(?:因此|所以|故)?应?[选選](?:择|項|项)?\s?[:：]?(?=\s?[(（]?[A-ZＡ-Ｚ])"
    r"|(?:최종\s?)?(?:정답|답)(?:은|는|이)?\s?:?"
    r"|(?:উত্তর|సమాధానం|பதில்|ഉത്തരം|ಉತ್ತರ)\s{0,2}(?:হল|হলো|হচ্ছে|হবে|[:=])?"
    r"|(?:الجواب|جواب|پاسخ|الإجابة|الاجابة|إجابة)(?:\s(?:النهائية?|الصحيحة?))?\s?(?:هو|هي|[:=])"
    r"|उत्तर\s?(?:है|[:=])|תשובה\S{0,3}\s?(?:היא|[:=])|คำตอบ(?:สุดท้าย)?\s?(?:คือ|[:=])"
    r"|(?:đáp (?:án|số)|câu trả lời|kết quả)\s{0,2}(?:là|[:=])"
    r"|\b(?:r[ée]ponse|r[ée]sultat|respuesta|resposta|risposta|soluci[óo]n|solução|soluzione"
    r"|resultado|risultato|antwort|ergebnis|l[öo]sung|antwoord|uitkomst|svar(?:et)?|vastaus|vastus"
    r"|odpowied[źz]|wynik|ответ(?:ом)?|итого|итог|відповідь|отговор(?:ът)?|одговор|odgovor|odpověď"
    r"|odpoveď|atsakymas|atbilde|cevap|sonuç|jawaban(?:nya)?|jawapan|sagot|v[áa]lasz"
    r"|r[ăa]spuns(?:ul)?|απάντηση|jibu|ateb|erantzuna)"
    r"(?:\s(?:finale?|final[ei]?|correct[aoe]?|exacte?|correcte))?"
    r"\s{0,2}(?:(?:est|es|é|è|e|ist|lautet|betr[äa]gt|is|är|er|on|to|brzmi|wynosi|jest|je|zní|este"
    r"|είναι|ni|adalah|là|является|будет|равен|равно|составляет|ser[íi]a|serait|sar[àa])\b|[:=—–-])"
    r"|\bcevap\b|(?:^|[\n.!?*#>])[ \t*_#>]{0,6}(?:(?:final|overall|end)\s)?(?:(?:result|ans\.?"
    r"|solution|conclusion)[*_]{0,3}\s{0,2}[:=]|ans\.\s(?=[*$(]{0,3}-?[0-9]))"
    r"|\b(?:final|overall|end) (?:result|total|value|number|amount|count|sum)"
    r" (?:is|=|:|equals|comes (?:out )?to)",
    re.IGNORECASE,
)
_BEHIND = re.compile(  # "72 is the answer"
    r"[ \t](?:is|as|was)\s(?:thus\s|therefore\s|hence\s)?(?:the|my|our|your)"
    r"\s(?:(?:final|correct|right|best|required|only)\s){0,2}(?:answer|solution)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.,;:!?。，；]\s|\b(?:so|that|get|think|believe|thus|hence|therefore)\s")
_LAST_CUE = re.compile(
    r"\b(?:the|our|a)\s(?:(?:final|grand|overall)\s)?(?:result|total|solution|sum)"
    r"\s(?:is|was|equals|comes (?:out )?to|will be|would be)\s",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t\r\n]+")
_GOES_ON = re.compile(r"(?:\s?\n[ \t]{0,8}[+×÷=*/]\s?[$(]?[0-9][^\n]*)+")  # a sum over lines
_MANY = 64  # markers of one kind that are looked at
_TAIL = 100_000  # characters at the end in which the weaker cues are looked for
_OBJECT = 20_000  # characters at the end in which an object is looked for
_DEPTH = 8  # of objects within objects
_LABEL_VERBS = frozenset({":", "->", "=>", "→", "⇒", "-", "–", "—"})


def find_candidates(text: str) -> Iterator[Candidate]:
    """Yield what the markers of a text point to, by rank.

    An object has its fields only. Else: answer lines in order; the last box; the last tag; the last
    field of an object; hash lines in order; labels (those of a final answer first); answer lines
    that their writer did not stand by; cues of other words and languages, last first; an answer
    that stands before its cue.
    """
    fields = list(_find_fields(text))
    if fields and _OPENS_OBJECT.match(text):
        yield from fields
        return
    lines, labels, doubted = _find_answers(text)
    yield from lines
    if (box := _find_box(text)) is not None:
        after = text[box.stop : box.stop + CLIP].lstrip("}$")
        yield Candidate(rule="boxed", piece=clip_line(text[box]), after=after)
    yield from _find_tags(text)
    yield from fields
    for line in islice(_HASH.finditer(text), _MANY):
        yield Candidate(rule="hash", piece=line[1][:CLIP])
    yield from labels
    yield from doubted
    tail = max(0, len(text) - _TAIL)
    cues = list(islice(_CUE.finditer(text, tail), _MANY))
    for cue in reversed(cues):
        yield _make_candidate("cue", text, cue.end(), len(text))
    for cue in reversed(list(islice(_BEHIND.finditer(text, tail), _MANY))):
        clause = _CLAUSE.split(text[max(0, cue.start() - 80) : cue.start()])[-1]
        yield Candidate(rule="cue", piece=clause.rpartition("\n")[2])
    *_, final = text[-CLIP:].rstrip().rpartition("\n")
    for cue in reversed(list(_LAST_CUE.finditer(final))):
        yield _make_candidate("cue", final, cue.end(), len(final))


def last_line(text: str) -> Iterator[Candidate]:
    """Yield the last line that is not blank: the guess where no marker says anything."""
    lines = [line for line in text.splitlines() if line.strip()]
    yield from (Candidate(rule="last-line", piece=line[-CLIP:]) for line in lines[-1:])


def _find_answers(text: str) -> tuple[list[Candidate], list[Candidate], list[Candidate]]:
    """Return answer lines (``The answer is X``), labels (``Answer: X``) and doubted lines."""
    cues = list(_ANSWER.finditer(text))
    if len(cues) > 2 * _MANY:
        cues = cues[:_MANY] + cues[-_MANY:]
    ends = [*(_cue_start(text, cue.start()) for cue in cues), len(text)][1:]
    lines: list[Candidate] = []
    labels: list[Candidate] = []
    finals: list[Candidate] = []
    doubted: list[Candidate] = []
    for cue, end in zip(cues, ends, strict=True):
        before = text[max(0, cue.start() - 200) : cue.start()]
        if _OTHER_ANSWER.search(before[-20:]):
            continue
        is_label = cue["verb"] in _LABEL_VERBS
        before = _CONTRAST.split(_SENTENCE_START.split(before)[-1])[-1]
        if not is_label and (_SUPPOSED.search(before) or _SPEECH.search(before)):
            continue
        rule = "label" if is_label else "answer-line"
        candidate = _make_candidate(rule, text, cue.end(), max(end, cue.end()))
        if not candidate.piece or _QUOTED.match(candidate.piece):
            continue
        if is_label:
            (finals if _FINAL.search(before) else labels).append(candidate)
        elif cue["weak"] or _HEDGED.search(before) or _DOUBTED.match(candidate.piece):
            doubted.append(candidate)
        else:
            lines.append(candidate)
    for heading in islice(_HEADING.finditer(text), _MANY):
        candidate = _make_candidate("label", text, heading.end(), len(text))
        (finals if heading["final"] else labels).append(candidate)
    return lines, finals[::-1] + labels, doubted


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
    if more := _GOES_ON.match(text, behind, min(end, lead.end() + CLIP)):
        piece, behind = piece + more[0].replace("\n", " "), more.end()
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
    """Yield the field of an object that is called an answer, else a result or the like.

    The outermost of those counts, and of these the last.
    """
    tail = text[-_OBJECT:]
    if "{" not in tail or not ('"' in tail or "'" in tail):
        return
    fields = _parse_fields(tail) or [
        (0, field["key"], field["value"].strip()) for field in _FIELD.finditer(tail)
    ]
    for pattern in (_ANSWER_KEY, _WEAK_KEY):
        chosen = [
            (-depth, i, value)
            for i, (depth, key, value) in enumerate(fields)
            if pattern.search(name := re.sub(r"[\s-]+", "_", key.strip(" :").casefold()))
            and not _OTHER_KEY.search(name)
        ]
        if chosen:
            piece = max(chosen)[2].strip("\"'") or "null"
            yield Candidate(rule="json", piece=piece[:CLIP])
            return


def _parse_fields(text: str) -> list[tuple[int, str, str]]:
    """Return (depth, key, value) of the last object of a text; empty: none can be parsed."""
    fields: list[tuple[int, str, str]] = []
    start, decoder = text.find("{"), json.JSONDecoder(strict=False)
    for _ in range(_MANY):
        if start < 0:
            break
        try:
            parsed, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            fields = list(_walk_fields(parsed, 0)) or fields
        start = text.find("{", end)
    return fields


def _walk_fields(value: object, depth: int) -> Iterator[tuple[int, str, str]]:
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            yield depth, key, _field_text(inner)
            yield from _walk_fields(inner, depth + 1)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _walk_fields(inner, depth + 1)


def _field_text(value: object) -> str:
    """Write the value of a field: of an object its own value, of a list all items."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        for key in ("answer", "value", "final", "number", "amount", "text", "letter"):
            if key in items:
                return _field_text(items[key])
        return ""
    if isinstance(value, list):
        return ", ".join(_field_text(item) for item in cast("list[object]", value)[:9])
    return value if isinstance(value, str) else json.dumps(value)


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
