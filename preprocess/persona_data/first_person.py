"""Does a sentence describe who says it? The rules of Mazaré et al. (2018), https://arxiv.org/abs/1809.01984.

A sentence of 4 to 20 words with "I" or "my", at least one verb, and at least one noun, pronoun or adjective. Since "I" and
"my" are pronouns themselves, that one must be another one. Questions describe nobody; the paper does not say so, and an
option keeps them. Sentences with kana are read as Japanese, all others as English.

English: a word is a verb if lemminflect's lexicon says that it can be one, except after "my" or "the". A tagger would choose
by the context, but those whose data come with a Python package take "I like" for a preposition and "I love" for a noun: of
6,000 sentences of chit-chat with "I" or "my" textblob's lost 228 that have a verb to spaCy's tagger, this loses 4.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from fairseq_latent.errors import missing_extra
from fairseq_latent.text.mecab import Morpheme, morphemes

from ..cleaning.languages import KANA


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
AFTER_MARKS = "!\uff01\"'\u201d\u2019)]\u300d\u300f\uff09"  # what may stand behind a question mark
# "i'm" is "i" and "'m", "don't" is "do" and "n't"; both abbreviations have an "i" that is nobody
TOKEN = re.compile(r"i\.e\b|e\.g\b|n't\b|'(?:m|re|ve|d|ll|s)\b|[^\W_]+?(?=n't\b)|[^\W_]+")
SELF = _words("i my im ive")
VERBS = _words("'s 'm 're 've 'd 'll im ive dont didnt cant couldnt gonna gotta")
PREDICATES, NOUNS = frozenset(("VERB", "AUX")), frozenset(("NOUN", "ADJ", "PROPN"))
PRONOUNS = _words("""
    you he she it we they me him her us them mine yours hers ours theirs myself yourself himself herself itself ourselves
    themselves someone somebody something anyone anybody anything everyone everybody everything nobody nothing
""")
# what can be a verb or a noun is a verb after SUBJECTS, one in its base form after AUXILIARIES, and a noun after DETERMINERS
SUBJECTS = _words("i you he she it we they who never just really also always 'd")
AUXILIARIES = _words(
    "to not n't 'll do does did can could will would should may might must dont didnt cant couldnt gonna gotta"
)
ARTICLES = _words("a an the my your his our their")
DETERMINERS = ARTICLES | _words("her this these those some any no 's")
# no nouns here, whatever the lexicon holds possible, and nothing that describes anybody: "that" is no pronoun that counts
FILLERS = _words(
    "and or but so well too also just very really oh ok okay yes yeah yep no nope ha haha hahaha lol hmm um now then"
)
EMPTY = FILLERS | _words("""
    a an the if because than as that this these those what which there here 's am is are was were be
""")
# the last two where MeCab's dictionary has them as common nouns: "oneself", and "we at home"
SELF_JAPANESE = re.compile("私|わたし|わたくし|あたし|僕|ぼく|ボク|俺|おれ|オレ|自分|うち")
PLURAL = _words("たち 達 ら 等 方")

# what --strict leaves out: what is said to the other one, what is only thought of, and reactions
SECOND_PERSON = _words("you your yours yourself u ur youre")
HYPOTHETICAL = _words(
    "'d 'll would could should might may will think thought guess mean meant hope wish know knew bet agree understand see "
    "wonder heard hear believe suppose figured assume said forgot"
)
ADVERBS = _words("really just also always never actually honestly definitely personally do did n't dont didnt have 've")

NO_SELF, NO_VERB = "without I or my", "without a verb"
NO_NOUN, ASKING = "without another noun, pronoun or adjective", "that are questions"
NOT_STRICT = "that --strict leaves out"

Verdict = str | tuple[str, ...]  # why a sentence is none, or the words that say something, in order


@dataclass(frozen=True)
class Rules:
    """How long a self-description is, whether a question is one, and whether it has to be of the form of Persona-Chat's.

    `strict` is not the paper's, which trains a classifier for the same purpose: a sentence begins with "I" or "my", but
    for words like "yeah" and "but", speaks of nobody else, and is no guess, wish or reaction ("I think", "I would").
    """

    min_words: int = 4
    max_words: int = 20
    questions: bool = False
    strict: bool = False

    def verdict(self, sentence: str) -> Verdict:
        """Why a sentence is no self-description; of one that is, its content words, by which it is compared."""
        return self._japanese(sentence) if KANA.search(sentence) else self._english(sentence)

    def _english(self, sentence: str) -> Verdict:
        tokens = TOKEN.findall(sentence.lower().replace("\u2019", "'"))
        if SELF.isdisjoint(tokens):
            return NO_SELF
        if reason := self._length(len(WORD.findall(sentence))) or self._question(sentence):
            return reason
        pairs = list(zip(("", *tokens), tokens, strict=False))
        if not any(_is_verb(*pair) for pair in pairs):
            return NO_VERB
        if not any(_is_noun(*pair) for pair in pairs):
            return NO_NOUN
        if self.strict and not _is_strict(tokens):
            return NOT_STRICT
        return tuple(token for token in tokens if token not in EMPTY and token not in SELF and token not in VERBS)

    def _japanese(self, sentence: str) -> Verdict:
        if not SELF_JAPANESE.search(sentence):
            return NO_SELF
        words = [word for word in morphemes()(sentence) if word.kind != "記号"]
        followed = zip(words, (*words[1:], None), strict=True)
        selves = {at for at, (word, after) in enumerate(followed) if _is_self(word, after)}
        if not selves:
            return NO_SELF
        if reason := self._length(len(words)) or self._question(sentence):
            return reason
        if not any(word.kind in ("動詞", "形容詞") or word.base in ("だ", "です") for word in words):
            return NO_VERB
        others = [word for at, word in enumerate(words) if at not in selves]
        if not any(word.kind in ("名詞", "形容詞") and word.sort != "非自立" for word in others):
            return NO_NOUN
        if self.strict and not (0 in selves and words[1].kind == "助詞"):
            return NOT_STRICT
        return tuple(word.text for word in others if word.kind not in ("助詞", "助動詞"))

    def _length(self, words: int) -> str | None:
        if words < self.min_words:
            return f"of fewer than {self.min_words} words"
        return f"of more than {self.max_words} words" if words > self.max_words else None

    def _question(self, sentence: str) -> str | None:
        return ASKING if not self.questions and sentence.rstrip(AFTER_MARKS).endswith(("?", "\uff1f")) else None


def _is_verb(before: str, word: str) -> bool:
    """Whether it can be one."""
    return word in VERBS or (before not in ARTICLES and not PREDICATES.isdisjoint(_readings(word)))


def _is_noun(before: str, word: str) -> bool:
    """Whether it is a noun, pronoun or adjective other than I and my, as far as the word before tells.

    What the lexicon does not have is a name.
    """
    if word in PRONOUNS:
        return True
    if word in EMPTY or word in SELF or word in VERBS or word in AUXILIARIES or len(word) == 1 or word.isdecimal():
        return False
    readings = _readings(word)
    if not readings or before in DETERMINERS:
        return not readings or not NOUNS.isdisjoint(readings)
    if "VERB" in readings and (before in SUBJECTS or (before in AUXILIARIES and word in readings["VERB"])):
        return False
    return not NOUNS.isdisjoint(readings) and "ADV" not in readings


def _is_strict(tokens: Sequence[str]) -> bool:
    """Whether English words are those of a sentence that describes who says it, and nothing else."""
    if not SECOND_PERSON.isdisjoint(tokens):
        return False
    begins = next(at for at, token in enumerate(tokens) if token not in FILLERS)
    verb = next((token for token in tokens[begins + 1 :] if token not in ADVERBS), "")
    return tokens[begins] in SELF and (tokens[begins] == "my" or verb not in HYPOTHETICAL)


def _is_self(word: Morpheme, after: Morpheme | None) -> bool:
    """First person, singular."""
    plural = after is not None and after.text in PLURAL
    return (
        word.kind == "名詞"
        and word.sort in ("代名詞", "一般")
        and bool(SELF_JAPANESE.fullmatch(word.text))
        and not plural
    )


@lru_cache(1 << 17)
def _readings(word: str) -> Mapping[str, Sequence[str]]:
    """The parts of speech that the word can be, as Universal Dependencies name them, and its base forms as each."""
    return _lexicon()(word)


@cache
def _lexicon() -> Callable[[str], Mapping[str, Sequence[str]]]:
    try:
        from lemminflect import getAllLemmas
    except ImportError:
        raise missing_extra("lemminflect", "personas") from None
    return getAllLemmas
