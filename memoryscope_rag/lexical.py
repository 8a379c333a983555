"""Lexical analysis: a text as the tokens by which both stores index it and queries are matched.

NFKC-normalised and case-folded; stop words dropped; words stemmed by the Snowball stemmer of
their script, or of the language whose function words the text holds; Chinese, Japanese, Korean
and Thai-like scripts as overlapping pairs of characters (a single one where it stands alone);
numbers kept. On the LoCoMo development half stemming and stop words are worth ten points of
recall@10 over plain tokens. Pure; the only state are caches of stems.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from threading import Lock
from typing import Protocol

import snowballstemmer

VERSION = 1
"""Changes when any text gets other tokens: a store indexed by another version re-indexes."""

MAX_TOKEN = 64
"""Longer tokens are cut: nobody types them, and a stemmer is slow on them."""

MAX_PARTS = 8
"""Most parts of a query that are searched for apart from it."""

# Scripts without spaces between words: kana, Han (with extensions), Hangul, and Thai to Khmer.
_PAIRED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
# Combining marks are no word characters to ``re``, but Hindi or Arabic words fall apart there.
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u0670\u0900-\u0903\u093a-\u094f\u0980-\u0d7f"
_TOKEN = re.compile(
    rf"(?P<paired>[{_PAIRED}]+)"
    r"|(?P<number>\d+(?:[.,]\d+)*(?![^\W_]))"
    rf"|(?P<word>(?:(?![{_PAIRED}])[^\W_]|[{_MARKS}])+"
    rf"(?:['’ʼ](?:(?![{_PAIRED}])[^\W_]|[{_MARKS}])+)*)"
)
_ASCII_TOKEN = re.compile(r"[a-z][a-z0-9]*(?:'[a-z0-9]+)*|\d+(?:[.,]\d+)*(?![a-z0-9])|[a-z0-9]+")
_SENTENCE = re.compile(r"(?<=[?!;])\s+|(?<=\w\w\.)\s+|(?<=:)\s+|[。？！；：\n]+")
UNSPACED = re.compile(rf"[{_PAIRED}]")
"""One character of a script without spaces between words."""
_WORD = re.compile(r"[^\W\d_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH_STOP = _words(
    """
    a about above after again against all also am an and any are as at be because been before being
    below between both but by can cannot could did do does doing done down during each few for from
    further get gets getting go going gone got had has have having he her here hers herself hey hi
    him himself his how i if in into is it its itself just let like me might more most much must my
    myself no nor not now of off oh ok okay on once only or other our ours ourselves out over own
    really same shall she should since so some such than that the their theirs them themselves then
    there these they this those through to too under until up upon us very was we well were what
    when where which while who whom whose why will with within without would yeah yes you your
    yours yourself yourselves
    """
)
"""Function words, question words and the fillers of chat."""

_STOP: dict[str, frozenset[str]] = {
    "english": _ENGLISH_STOP,
    "german": _words(
        """
        aber als am an auch auf aus bei bin bis bist da das dass dein deine dem den der des dich
        die dir doch du ein eine einem einen einer eines er es für habe haben hat hatte ich ihr
        im in ist ja jetzt kann kein keine mein meine mich mir mit nach nicht noch nur ob oder
        schon sehr sein seine sich sie sind so über um und uns von vor war was wenn wer wie wir
        wird wo zu zum zur
        """
    ),
    "french": _words(
        """
        au aux avec ce ces cette dans de des du elle elles en est et eu il ils je la le les leur
        lui ma mais me mes moi mon ne nos notre nous on ou où par pas pour qu quand que quel quelle
        qui sa se ses son sont sur ta te tes toi ton tu un une vos votre vous été êtes être à
        """
    ),
    "spanish": _words(
        """
        al algo como con cuando cuándo de del dónde donde el ella ellos en era eres es esta está
        este esto fue ha han hay la las le les lo los me mi mis muy más nada no nos o para pero por
        porque que quien qué se ser si sin sobre son su sus te tiene tu tus un una uno y ya yo
        """
    ),
    "italian": _words(
        """
        ai al alla anche che chi ci come con cosa da dal dei del della delle di dove e era gli ha
        hai hanno ho i il in io la le lei lo lui ma mi mia mio ne nei nel nella non o per perché
        più quando quello questa questo se sei si sono sta su sua sul suo ti tu un una uno è
        """
    ),
    "portuguese": _words(
        """
        ao as até com como da das de dela dele do dos e ela ele em era essa esse esta está eu foi
        há isso já la mais mas me meu minha muito na nas no nos não o onde os ou para pela pelo por
        quando que quem se sem ser seu sua são também te tem um uma você é
        """
    ),
    "dutch": _words(
        """
        aan al als bij dat de deze die dit door een en er had heb heeft hem het hij hoe ik in is je
        jij kan maar me meer met mij mijn na naar niet nog nu of om ook op over te tot uit van veel
        voor waar was wat we wel wie wij zal ze zich zij zijn zo
        """
    ),
    "russian": _words(
        """
        а без бы был была были было в вам вас вот все всё вы где да для до его ее её если есть еще
        ещё же за и из или им их к как какая какой когда кто ли меня мне мой моя мы на над нас не
        него нет но о об он она они от по под при с со так там то тоже ты у что чтобы эта это этот я
        """
    ),
    "arabic": _words("في من على إلى عن أن إن هذا هذه التي الذي ما هل هو هي و لا كان مع أو ثم قد"),
    "greek": _words(
        "και το τα η ο οι του της των με σε για από να θα είναι που τι δεν μου σου στο"
    ),
    "hindi": _words("और का की के में है हैं को से पर यह वह क्या कि नहीं था थी थे मैं ने भी हो एक तो"),
    "turkish": _words("ve bir bu da de için ile ne mi mı ben sen o biz siz çok daha ama gibi var"),
}

_PAIR_STOP = _words(
    """
    什么 怎么 怎样 多少 哪个 哪些 哪里 哪儿 哪位 为什 是什 么时 是谁 谁的 的是 是多 是哪 是不 不是
    我的 你的 他的 她的 它的 们的 我们 你们 他们 她们 这个 那个 一个 了吗
    是否 请问 有没 没有 什麼 甚麼
    です ます でし した ました から まで って という その この それ これ
    """
)

_SCRIPTS: tuple[tuple[str, str, str], ...] = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
)
_LATIN = ("german", "french", "spanish", "italian", "portuguese", "dutch", "turkish")
_FOREIGN = frozenset().union(*(_STOP[name] for name in _LATIN)) - _ENGLISH_STOP
_EVIDENCE = 2
"""Function words a text must hold of another language before it is taken for that language."""
_CODES = {
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "turkish": "tr",
}
_CONTRACTIONS = _words("s re ve ll d m t em")
_ELISIONS = _words("l d j m t s n c qu un all dell nell sull dall gl")


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802


_stemmers: dict[str, _Stemmer] = {}
_stemming = Lock()  # Snowball's pure Python stemmers keep the word in the instance


def analyze(text: str) -> list[str]:
    """The tokens of ``text`` in order, with repetitions; stop words are gone."""
    if text.isascii():  # the common case, at a third of the price
        words = _ASCII_TOKEN.findall(text.lower())
        if len(_FOREIGN.intersection(words)) < _EVIDENCE:
            return [token for word in words if (token := _ascii_token(word))]
    folded = unicodedata.normalize("NFKC", text).casefold()
    language = None
    tokens: list[str] = []
    for match in _TOKEN.finditer(folded):
        piece = match.group()
        if match.lastgroup == "paired":
            tokens.extend(_pairs(piece))
            continue
        if match.lastgroup == "number":
            tokens.append(_number(piece))
            continue
        if language is None:
            language = detect_language(folded)
        if token := _stem(piece, language):
            tokens.append(token)
    return tokens


def detect_language(text: str) -> str:
    """The Latin-script language of ``text``: English unless another's function words prevail.

    Two different function words of the other language that English lacks are asked for, so a
    short or mixed text stays English: a wrong guess costs more matches than no guess.
    """
    words = set(_WORD.findall(text.casefold()))
    best, language = max(_EVIDENCE - 1, len(words & _ENGLISH_STOP)), "english"
    if len(words & _FOREIGN) < _EVIDENCE:
        return language
    for name in _LATIN:
        hits = len((words & _STOP[name]) - _ENGLISH_STOP)
        if hits > best:
            best, language = hits, name
    return language


def language_of(text: str) -> str:
    """The code of the language whose prompts suit ``text``.

    "zh" for mostly unspaced script, else the one whose function words it holds, such as "fr"; "en"
    where none prevail.

    A word counts as much as an unspaced character: a brand name makes no Chinese text English.
    """
    unspaced = len(UNSPACED.findall(text))
    if unspaced > len(_WORD.findall(UNSPACED.sub(" ", text))):
        return "zh"
    return _CODES.get(detect_language(text), "en")


def query_parts(text: str) -> tuple[str, ...]:
    """The sentences of a query that says or asks several things; none when there is but one.

    "Where does Ann live? And what does she play?" has two answers, and the words of one question
    drown the other's. What follows a colon is a part of its own. At most :data:`MAX_PARTS`, the
    last ones: small talk comes first.
    """
    parts = [part for part in (piece.strip() for piece in _SENTENCE.split(text)) if analyze(part)]
    return tuple(parts[-MAX_PARTS:]) if len(parts) > 1 else ()


def estimate_tokens(text: str) -> int:
    """About how many tokens a chat model makes of ``text``, without its tokenizer.

    A quarter of a token a character, as for English in today's vocabularies; 1 / 1.6 a Han, kana,
    Hangul or Thai character. Within some 15 % for chat in English and Chinese.
    """
    unspaced = 0 if text.isascii() else len(UNSPACED.findall(text))
    return -int(-((len(text) - unspaced) / 4 + unspaced / 1.6) // 1)


@lru_cache(maxsize=131_072)
def _ascii_token(word: str) -> str:
    """The token of one ASCII word or number, empty for a stop word."""
    if word[0].isdigit() and not any(char.isalpha() for char in word):
        return _number(word)
    return _stem(word, "english")


@lru_cache(maxsize=131_072)
def _stem(word: str, language: str) -> str:
    """The stem of a case-folded word, empty for a stop word of ``language``."""
    for low, high, name in _SCRIPTS:
        if low <= word[0] <= high:
            language = name
    stop = _STOP[language]
    if "'" in word or "’" in word or "ʼ" in word:
        parts = re.split("['’ʼ]", word)
        if parts[-1] == "t" and parts[0].endswith("n"):
            return ""  # don't, isn't, couldn't: auxiliaries all
        if parts[-1] in _CONTRACTIONS:
            parts.pop()
        elif parts[0] in _ELISIONS:
            parts = parts[1:]
        word = "".join(parts)
    if word in stop:
        return ""
    word = word[:MAX_TOKEN]
    with _stemming:
        stemmer = _stemmers.get(language)
        if stemmer is None:
            stemmer = _stemmers[language] = snowballstemmer.stemmer(language)
        return str(stemmer.stemWord(word))


def _number(text: str) -> str:
    """Digits without thousands separators."""
    return text.replace(",", "")[:MAX_TOKEN]


def _pairs(run: str) -> list[str]:
    """Overlapping pairs of a run of characters; the run itself when it is one character."""
    if len(run) == 1:
        return [run]
    return [pair for i in range(len(run) - 1) if (pair := run[i : i + 2]) not in _PAIR_STOP]
