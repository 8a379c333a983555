"""English tables for statements; see :class:`~memoryscope_rag.statements.language.Language`."""

from __future__ import annotations

import re

from memoryscope_rag import lexical
from memoryscope_rag.statements.english_chat import DISMISSED, GENERIC, MERITS
from memoryscope_rag.statements.english_slots import (
    NAME,
    NO_NAME,
    OWN,
    PREDICATES,
    RELATION,
    RELATIONS,
    pattern,
    words,
)
from memoryscope_rag.statements.language import Language

_CONTENT = re.compile(r"[a-zà-ÿ0-9]+(?:['’][a-z]+)?")
_UNIT_STOP = words(
    "own back way know also actual just even still alreadi realli quit veri now current late "
    "nowaday "
    "today dai away good know ye yeah well us call name year ago to go got get been becaus whole "
    "real start recent final th st nd rd week last yesterdai"
)
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
_SAME = {
    "movi": "film", "mom": "mother", "mum": "mother", "dad": "father", "kid": "children",
    "child": "children", "spous": "partner", "color": "colour", "favorit": "favourit",
    "doggo": "dog", "flat": "apart", "job": "work", "holidai": "trip", "vacat": "trip",
    "husband": "husband", "hubbi": "husband", "neighbor": "neighbour", "pup": "puppi",
    "bought": "buy", "sold": "sell", "adopt": "adopt", "begin": "start", "began": "start",
    "run": "run", "ran": "run", "canceled": "cancel", "fli": "flight", "flew": "flight",
    "allergi": "allerg", "mice": "mous", "teeth": "tooth", "live": "live", "marri": "marri",
}  # fmt: skip


def _units(text: str) -> tuple[str, ...]:
    tokens = lexical.analyze(text.replace("’", "'"))
    # a number's word and its digits are one
    mapped = [_SAME.get(token, _NUMBERS.get(token, token)) for token in tokens]
    mapped = [re.sub(r"^(\d+)(?:st|nd|rd|th)$", r"\1", token) for token in mapped]
    return tuple(token for token in mapped if token not in _UNIT_STOP)


def _word_list(text: str) -> list[str]:
    return _CONTENT.findall(text.lower().replace("’", "'"))


ENGLISH = Language(
    name="en",
    script=re.compile(r"[A-Za-z]"),
    fillers=re.compile(
        r"^(?:(?:oh|ah|aw+|wow|yeah|yea|yep|yup|yes|no|nope|well|so|hmm+|um+|uh+|haha+|lol|ok|okay"
        r"|sure|right|actually|honestly|anyway|anyways|by the way|btw|also|and|but|plus|hey|hi"
        r"|thanks(?: so much| a lot)?|thank you(?: so much)?|of course|definitely|absolutely"
        r"|totally|for sure|exactly|indeed|guess what|you know(?: what)?|like|see|look|cool"
        r"|great|nice|awesome|woah|whoa|yay|ooh|true|basically|oh yeah|oh no|good question"
        r"|(?:that|it)(?:'|’)?s (?:awesome|great|cool|amazing|nice|so cool)"
        r"|(?-i:(?!I\b|My|Last|In|On|At|Yesterday|Today|Tomorrow|Since|After|When|Next|Now|Then"
        r"|Recently|Lately|Currently|Personally|Once|Usually|Sometimes|Finally|Eventually"
        r"|Unfortunately|Luckily|Growing|January|February|March|April|May|June|July|August"
        r"|September|October|November|December|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday"
        r"|Sunday|Back|During|Before|Previously|Originally|Every)[A-Z][a-z]+))"
        r"(?:\s*[,!–—]\s*|\s+[-–]\s+)"
        r"|(?:hey|hi|yeah|yes|wow|yep|oh|thanks)\s+(?-i:[A-Z][a-z]+)\s*[,!]\s*"
        r"|(?:so|and|but|plus|oh|well|yeah|yep|also|hey|wow|btw|by the way|anyway|haha)\s+"
        r"(?=(?:i|i'm|i’m|i've|i’ve|my|we|our|this|last|yesterday|it|it's|it’s|that|that's"
        r"|then)\b))",
        re.IGNORECASE,
    ),
    dismissed=tuple((reason, pattern(text)) for reason, text in DISMISSED),
    hypothetical=pattern(
        r"\b(?:if (?:i|we|you|he|she|they|it) (?:were|was|had|could|ever|won|lived|owned|did)\b|"
        r"what if\b|imagine (?:if|that|being|having|we|i)|suppos(?:e|ing) (?:i|we|that|you)|"
        r"hypothetically|let['’]s (?:say|assume|imagine|pretend|suppose)|"
        r"(?:i|we) (?:would|['’]d) (?:have|be|probably|buy|go|live|move) .{0,60}\bif\b|"
        r"in (?:another|a different|an alternate|a parallel) (?:life|world|universe|reality)|"
        r"i wish i (?:was|were|had|could|lived)|for the sake of argument|"
        r"(?:in|had) (?:my|a|this) (?:weird |strange |crazy |funny )?dream (?:last night|i|where"
        r"|that)|"
        r"i dreamt|i dreamed (?:that|i)|assum(?:e|ing) (?:that )?(?:i|we))"
    ),
    first_person=re.compile(
        r"\b(?:I|[Mm]y|[Ww]e|[Oo]ur|[Mm]e|[Uu]s|[Mm]ine|[Oo]urs|[Mm]yself)\b|\b(?:I|[Ww]e)['’]"
        r"|^(?:i|im|ive)\b|\bi['’](?:m|ve|ll|d)\b"
        r"|^(?:Just|Recently|Finally|Currently|Been|Got|Went|Had|Started|Bought|Saw|Took|Made)\b",
    ),
    merits=tuple((name, pattern(text), points) for name, text, points in MERITS),
    asked_to_keep=pattern(
        r"\b(?:remember (?:that|this|:)|please remember|don['’]t forget (?:that|:)|"
        r"note (?:that|:|down)|keep in mind|for (?:the|your) record|make a note|"
        r"(?:just )?so you know|fyi)\b"
    ),
    generic=GENERIC,
    words=_word_list,
    needs_context=re.compile(
        r"^(?:(?:and|but|so|then|also|plus|because)[, ]+)*(?:it|it's|it’s|its|this|that|that's"
        r"|that’s|these|those|they|they're|they’re|they've|them|their|he|he's|he’s|she|she's|she’s"
        r"|his|her|there|both of|one of them|some of them|the (?:first|second|other|latter|former)"
        r"(?: one)?)\b"
        r"|^(?:because|which|where|who|but|and then|then|so)\b"
        r"|^(?:i|we|i've|we've|i'm|we're)\b[^.!?]{0,40}"
        r"\b(?:it|them|him|her|that one|this one|those|there)[.!?]*$"
        r"|^(?:i|we)\b(?:\s+\S+){0,5}?\s+(?:it|them|him|her)\b"
        r"|\b(?:something similar|similar ones|the same thing|like that|that fellow|do that"
        r"|this one)\b",
        re.IGNORECASE,
    ),
    trailing_question=re.compile(
        r"[,;]?\s*(?:[-–—]\s*)?(?:,\s*(?:so|and|but)?\s*(?:what|how|do|does|did|can|could|would|is"
        r"|are|have|has|where|when|who|why|which|right|any|got any|isn['’]t|don['’]t|you know)\b"
        r"[^,;]*)\?[\"”'’)]*$",
        re.IGNORECASE,
    ),
    specific=2,
    fiction=pattern(
        r"\b(?:in (?:my|the|this|our|his|her) (?:novel|story|book i['’]m writing|screenplay|script|"
        r"fanfic|fan fiction|fantasy world|campaign|role-?play|tale|comic)|"
        r"(?:my|the|her|his|our) (?:character|protagonist|hero|heroine|villain|antagonist|narrator|"
        r"avatar|paladin|wizard|elf|npc|main character)\b|"
        r"(?:in|on) (?:the|that|this) (?:movie|film|show|series|episode|novel|game|anime),|"
        r"once upon a time|chapter (?:one|two|three|\d+)\b|(?:as|i['’]m|i am) (?:a|an|the) "
        r"(?:level \d+|dwarf|elf|wizard|knight|vampire|dragon|orc|pirate captain|space captain)|"
        r"the plot|(?:the|this) scene (?:opens|begins|where)|in character\b)"
    ),
    opens_play=pattern(
        r"\b(?:let['’]s (?:write|make up|invent|play|role-?play|pretend|do a role-?play|"
        r"create a (?:story|character)|tell a story|start a (?:story|role-?play|game))|"
        r"(?:i want|i['’]d like|want|wanna|shall we|can we|could we) to (?:role-?play|"
        r"play (?:a game|pretend|a role)|write a (?:story|tale|scene) together)|"
        r"(?:can|could|shall) we (?:role-?play|pretend|play a (?:game|role)|write a story)|"
        r"role-?play(?:ing)?:|(?:you are|you['’]re) (?:now )?(?:a|an|the) (?:dragon|wizard|knight|"
        r"king|queen|pirate|detective|space|dungeon|game master|character|princess|vampire|"
        r"interviewer|bartender in)|pretend (?:that |to be |you|i|we)|act as (?:if|a|an|my|the)|"
        r"here['’]s (?:a|my|the) (?:story|tale|scene|script)|story time:)"
    ),
    opens_story=pattern(
        r"\b(?:(?:write|tell|create|compose|make up|continue)(?: me| us)? (?:a|an|the|my|this)"
        r"(?: \w+){0,3} (?:story|novel|poem|song|script|scene|tale|screenplay|fanfic|dialogue|"
        r"chapter)|"
        r"(?:i['’]m|i am|i've been|been) (?:currently |still |also )?(?:writing|working on"
        r"|drafting) "
        r"(?:a|my|an|the)(?: [\w-]+){0,3} (?:novel|story|screenplay|script|fanfic|play|comic|"
        r"short story)|my novel\b|(?:the|my) (?:protagonist|main character)|once upon a time|"
        r"the plot (?:is|of)|in (?:my|the) (?:novel|story|game|campaign))"
    ),
    closes=pattern(
        r"^(?:anyway|back to (?:reality|real life|me)|in real life|irl|out of character|ooc|"
        r"(?:ok(?:ay)?,? )?enough (?:of|about|with) (?:the|that|this)|the end\b"
        r"|end of (?:the )?story|"
        r"by the way|btw|speaking of me|jokes aside|seriously|on a (?:serious|different|personal) "
        r"note|as for me|(?:the )?real me|actually, in real)|\b(?:in real life|story is over|"
        r"game is over|stop (?:the )?(?:story|role-?play|game)|back in the real world)\b"
    ),
    invented=re.compile(
        r"^(?:he|she|they|his|her|their|it|its|the|one day|suddenly|then|there|a|an|when"
        r"|[A-Z][a-z]+"
        r"(?=\s+(?:is|was|has|had|lives|lived|walks|[a-z]+(?:ed|s)\b)))\b",
        re.IGNORECASE,
    ),
    joke=pattern(
        r"^(?:(?:haha|lol)[,!]? )?(?:just kidding|jk|kidding|i['’]m (?:just )?(?:kidding|joking)|"
        r"just joking|that was a joke|not really|april fools)\b|\b(?:just kidding|/s$|\bjk$|"
        r"yeah,? right|as if\b|lol,? jk|😜$|🙃$)"
    ),
    clause=re.compile(
        r"[,;:]\s+(?:and|but|so|or|because|since|while|though|although)\s+"
        r"(?=(?:I|we|my|our|he|she|they|it)\b)"
        r"|[,;]\s+(?=(?:I|we|my|our|he|she)\b)|;\s+|\s[-–—]\s"
        r"|\s+(?:and|but|so|because|while)\s+(?=(?:I|we|my|our|he|she|I'm|I've)\b)"
        r"|\s+and\s+(?=(?:don't|do not|no longer|never|now|just|moved|started|got|bought|sold"
        r"|work|live|have|love|hate|play)\b)",
    ),
    person=re.compile(
        r"(?:^|\b(?=my\b|our\b|(?-i:I)\b|we\b))"
        r"(?:(?P<speaker>(?:i|we)\b(?:\s+and\s+i)?)"
        rf"|(?:my|our)\s+(?:(?:little|big|older|elder|younger|best|late|new|old|eldest|youngest"
        rf"|twin|dear|close|good|oldest)\s+)*(?P<relation>{RELATION})(?:'s|’s)?"
        rf"(?:,?\s+(?P<called>{NAME}(?!['’]s\b)))?,?"
        rf"|(?P<name>{NO_NAME}{NAME})"
        r"(?=\s+(?:is|was|has|had|lives|works|moved|got|likes|loves|hates|plays|will|just|studies"
        r"|teaches|started|bought|wants|went|said|called|told|can|broke|and)\b|['’]s\b))",
        re.IGNORECASE,
    ),
    relations=RELATIONS,
    own=OWN,
    predicates=PREDICATES,
    value_end=re.compile(
        r"\s+(?:too|now|these days|at the moment|right now|lately|again|anymore|any more|as well"
        r"|a lot|so much|very much|though)$",
        re.IGNORECASE,
    ),
    units=_units,
    negation=pattern(
        r"\b(?:not|never|no longer|don['’]?t|doesn['’]?t|didn['’]?t|isn['’]?t|aren['’]?t"
        r"|wasn['’]?t|"
        r"weren['’]?t|won['’]?t|can['’]?t|cannot|couldn['’]?t|haven['’]?t|hasn['’]?t|hadn['’]?t|"
        r"without|neither|nor|stopped|quit|gave up|given up)\b|\bno (?!doubt|matter|problem|wonder)"
    ),
    dislike=pattern(
        r"\b(?:hate|hates|dislike|dislikes|can['’]?t stand|cannot stand|detest|despise)\b"
    ),
    ended=pattern(
        r"\b(?:no longer|any ?more|used to|stopped|quit|gave up|given up|broke up|split up|"
        r"divorced|sold|gave away|lost (?:my|our)|left (?:my|our|the (?:job|company|band|team"
        r"|club|city|"
        r"country)|(?-i:[A-Z]))|retired from|resigned|got rid of|cancelled|canceled|"
        r"called off|fell through|not .{1,30} any ?more|don['’]t .{1,30} these days|"
        r"changed my mind|passed away|died)\b"
    ),
    change=pattern(
        r"\b(?:now|these days|nowadays|just moved|moved|no longer|any ?more|switched|changed|"
        r"started|joined|turned|new|recently|since last|finally|anymore|got engaged|got married|"
        r"actually|instead|lately)\b"
    ),
    past=pattern(
        r"\b(?:used to|back (?:then|in)|when i was|as a (?:kid|child|teenager)|formerly|"
        r"previously|years ago|in the past|grew up|my old|my former|(?:i|we|he|she) "
        r"(?:lived|worked|studied))\b"
    ),
    cancelled=pattern(
        r"\b(?:cancel+ed|called off|fell through|postponed|rescheduled|pushed back|put off|"
        r"(?:was|been|got) moved to|not going (?:to \w+ )?any ?more|won['’]?t be going|"
        r"no longer going|changed to|moved to (?:mon|tues|wednes|thurs|fri|satur|sun)day|"
        r"backed out|is off)\b"
    ),
    scheduled=pattern(
        r"\b(?:going|flying|travel\w*|trip|planning|plan|will|booked|appointment|meeting|visit\w*|"
        r"interview|on (?:mon|tues|wednes|thurs|fri|satur|sun)day|tomorrow|next|wedding|party|"
        r"concert|flight|heading|leaving|dinner|lunch|getting)\b"
    ),
    habitual=pattern(
        r"\b(?:every|each|usually|often|always|normally|generally|regularly|twice a|once a"
        r"|on (?:mon|tues|wednes|thurs|fri|satur|sun)days|on weekends)\b"
    ),
    light=words(
        "like love enjoi hate dislik drink eat ador prefer can't stand plai do have own drive ride "
        "keep us wear smoke watch read listen attend visit speak practic stop quit sell sold buy "
        "bought lose lost left fond keen work plan cancel trip any anymor longer no break broke "
        "broken split up fan take took actual like"
    ),
    pronouns={
        "she": words(
            "mother sister wife girlfriend daughter grandmother granddaughter aunt niece "
            "stepmother stepdaughter godmother goddaughter mother-in-law sister-in-law"
        ),
        "he": words(
            "father brother husband boyfriend son grandfather grandson uncle nephew stepfather "
            "stepson godfather godson father-in-law brother-in-law"
        ),
    },
)
