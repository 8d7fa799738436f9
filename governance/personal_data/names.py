"""Names of people, where a cue announces one: a key (`customer: `), a greeting, a header, "my name is", a signature.

Without a language model nothing tells "Anna Schmidt" from "Claude Sonnet" or "Production Key": both are two capitalised
words. A list of given names would find some names and not others, by origin. Cues hold for every origin and script, and
what a field or a letter says of a person nearly always comes with one. Bare names aren't found; the measured page says so.
"""

import re
from collections.abc import Iterator
from typing import Final

from governance.personal_data.kinds import Span

_NO_NAME: Final = frozenset(
    """
    a all an any l are as at by for from have here hi i if in is it not of on or our please so thank thanks that the there this to
    we what when with you your account accounts admin administrator ag all api assistant backup batch billing bot business city
    claude client colleague colleagues company corp corporation customer customers damen data default deepseek demo department
    dev developer everybody everyone example flash folks foundation friend friends gemini gmbh google gpt group haiku herren
    hiring house human inc key kunde kundin kunden ladies laptop large limited llama llc
    llm ltd madam madame manager medium
    members mini mistral model monsieur office ops opus openai openrouter
    operator owner partner partners personal prod production project provider pro
    sales server service services sir sirs sonnet staff staging system support team teams test tester token user users
    valueapi valued vendor
    world zusammen null none nightly unknown worker anonymous deleted redacted true false
    anthropic
    leute clientes cliente equipe équipe equipo tous todos команда клиент клиенты пользователь коллеги
    """.split()  # noqa: SIM905  as a list of strings it would be forty lines
)
_PARTICLES: Final = frozenset(
    "de da do dos das del della di van von der den ter ten zu zum la le el al bin ibn y e".split()  # noqa: SIM905
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?")
_CJK: Final = re.compile(
    r"[\u4e00-\u9fff\u3005]{2,5}|[\u30a0-\u30ff]{2,10}(?:[・ ][\u30a0-\u30ff]{2,10})?|[가-힣]{2,5}"
)
_APOSTROPHE: Final = re.compile("['’]")
_VALUE_ENDS: Final = re.compile(r"[\"'”]?\s*(?:$|[,;<(|}\]\n\t\"'\x00]|\.(?:\s|$)|\\n|[^\W\d_]+[\"']?[:=])")

_WHO: Final = (
    r"full|first|last|given|family|middle|maiden|sur|fore"
    r"|customer|contact|holder|cardholder|recipient|employee|patient|signatory"
)
# What follows such a key is a name, be it one word.
_KEYS: Final = re.compile(
    rf"\b(?:(?:{_WHO})[ _-]?name|cardholder|account[ _]holder|contact person|customer|kunde|kundin|vorname|nachname"
    r"|familienname|ansprechpartner(?:in)?|prénom|nom de famille|nombre completo|apellidos?|cognome"
    r"|nome completo|voornaam|achternaam|имя|фамилия|фио|клиент)[\"']?\s*[:=]\s*[\"']?"
    r"|(?:氏名|お名前|姓名|名前|이름|성명|الاسم|नाम)[\"']?\s*[:：=]\s*[\"']?",
    re.IGNORECASE,
)
# A bare `name` is a person's where the whole value is two or more capitalised words; a key's or a model's often isn't.
_NAME_KEY: Final = re.compile(r"(?<![\w.-])(?:name|nom|nombre|nome|naam)[\"']?\s*[:=]\s*[\"']?", re.IGNORECASE)
_THINGS: Final = re.compile(
    r"(?:model|key|file|host|team|product|company|service|project|display|class|event|job|plan|rule|table|column|provider"
    r"|domain|bucket|region|template|package|firm|branch|tool|function)[\s_.]$",
    re.IGNORECASE,
)
_GREETINGS: Final = re.compile(
    r"\b(?:(?:Dear|Hello|Hi|Hey|Good (?:morning|afternoon|evening)|Liebe[r]?|Sehr geehrte[r]?|Hallo|Guten Tag|Cher|Chère|Bonjour"
    r"|Hola|Estimad[oa]|Querid[oa]|Gentile|Ciao|Buongiorno|Beste|Geachte|Olá|Prezad[oa]|Car[oa]|Здравствуйте|Уважаем(?:ый|ая)|Привет)[,]?"
    r"(?: (?:Mrs?|Ms|Dr|Prof|Herrn?|Frau|[Ss]eñora?|Sra?|Mme|M|[Mm]evrouw|[Mm]eneer|[Ss]ig(?:nora?)?|Madame|Monsieur)\.?){0,2}"
    r"|(?:Mrs?|Ms|Dr|Prof|Herrn?|Frau|Señora?|Sra?|Mme|Mevrouw|Meneer|Signora?|Madame|Monsieur|Shri|Smt)\.?) "
)
_SAYS: Final = re.compile(
    r"(?:\b(?:my name is|i am called|this is|i'm|je m'appelle|ich hei(?:ß|ss)e|mein name ist|me llamo|mi nombre es|mi chiamo"
    r"|ik heet|mijn naam is|meu nome é|меня зовут|signed by|on behalf of|in the name of|im namen von|au nom de|called by"
    r"|spoke (?:to|with)|assigned to|reported by|requested by|approved by|opened by|created by"
    r"|invited by|written by|paid by|belongs to|called about|ship to|attn:?) "
    r"|私の名前は|私は|我叫|我的名字是|제 이름은 |اسمي )",
    re.IGNORECASE,
)
_HEADERS: Final = re.compile(
    r"(?:^|\n|\\n)(?:Author|Committer|From|To|Cc|Bcc|Reply-To|Sender|Von|An|De|À|Para|Da|От|Кому)"
    r"[:：]\s*\"?(?=[^<\n]{2,60}<)",
    re.IGNORECASE,
)
_CLOSINGS: Final = re.compile(
    r"\b(?:(?:(?:Best|Kind|Warm) (?:regards|wishes)|Regards|Sincerely|Yours (?:sincerely|faithfully|truly)|Cheers"
    r"|Many thanks|Thanks|Mit freundlichen Gr(?:ü|ue)(?:ß|ss)en|Viele Gr(?:ü|ue)(?:ß|ss)e|Liebe Gr(?:ü|ue)(?:ß|ss)e|Danke"
    r"|Cordialement|Bien à vous|Merci"
    r"|Saludos(?: cordiales)?|Un saludo|Gracias|Cordiali saluti|Grazie|Met vriendelijke groet|Atenciosamente|С уважением|Спасибо)"
    r"[,!.]?\s*(?:\n|\\n|(?<=,) |(?<=,))\s*)"
)
_HONOURED: Final = re.compile(
    r"(?<![\u4e00-\u9fff\u30a0-\u30ff])(?P<ja>[\u4e00-\u9fff]{1,4}|[\u30a0-\u30ff]{2,8})(?:さん|様|先生|殿)"
    r"|(?<![가-힣])(?P<ko>[가-힣]{2,4})(?: ?님|씨)(?![가-힣])|(?P<zh>[\u4e00-\u9fff]{1,3})(?:先生|女士|小姐)"
)
_EVERYBODY: Final = frozenset(
    ("客", "皆", "各位", "担当者", "お客", "患者", "고객", "회원", "선생", "사장", "女士", "先生", "用户")
)


def names(text: str) -> Iterator[Span]:
    """Names behind a cue; the cue isn't part of the span."""
    for cue, least, whole, score in (
        (_KEYS, 1, True, 0.8),
        (_NAME_KEY, 2, True, 0.6),
        (_GREETINGS, 1, False, 0.75),
        (_SAYS, 1, False, 0.7),
        (_HEADERS, 1, True, 0.9),
        (_CLOSINGS, 1, True, 0.7),
    ):
        for found in cue.finditer(text):
            if cue is _NAME_KEY and _THINGS.search(text[: found.start()][-12:]):
                continue
            end = _name(text, found.end(), least, whole=whole)
            if end is not None:
                yield found.end(), end, score
    for found in _HONOURED.finditer(text):
        group = "ja" if found["ja"] else "ko" if found["ko"] else "zh"
        if found[group] not in _EVERYBODY:
            yield found.start(group), found.end(group), 0.7


def _name(text: str, start: int, least: int, *, whole: bool) -> int | None:
    """The end of a name that begins at `start`; None where none does. `whole`: nothing else may be in its field or line."""
    if found := _CJK.match(text, start):
        return found.end()
    end, words, at = start, 0, start
    while words < 4 and (found := _WORD.match(text, at)):
        word = found[0]
        bare = word.rstrip(".").lower()
        if words and text[found.end() : found.end() + 1] in (":", "="):
            break  # the next field's key
        if word[0].islower():
            if words == 0 or bare not in _PARTICLES:
                break
        elif _APOSTROPHE.split(bare)[0] in _NO_NAME or (
            len(word) > 3 and word.isascii() and word.isupper() and not whole
        ):
            return None if words == 0 or whole else end if words >= least else None
        else:
            # "J." is a part of a name, the full stop of a sentence isn't.
            end = found.end() - (1 if word.endswith(".") and len(word) > 3 else 0)
            words += 1
            if end != found.end():
                break
        if text[found.end() : found.end() + 1] != " ":
            break
        at = found.end() + 1
    if words < least or (whole and not _VALUE_ENDS.match(text, end)):
        return None
    return end if end - start > 1 else None
