"""Japanese text: characters normalised by neologdn, words parted by MeCab with ipadic."""

from collections.abc import Callable

from fairseq_latent.errors import missing_extra


def normaliser() -> Callable[[str], str]:
    """The rule that makes half-width katakana wide, wide letters plain, and long vowels and laughter short."""
    try:
        import neologdn
    except ImportError:
        raise missing_extra("neologdn", "ja") from None

    def normalise(text: str) -> str:
        return text if text.isascii() else neologdn.normalize(text, repeat=3)

    return normalise


def segmenter() -> Callable[[str], str]:
    """The rule that puts a space between words; those that stand there between Japanese words part them too.

    The dictionary is named, since one that the system has would part otherwise: MeCab's IPA dictionary, that of
    published BLEU scores and of sacrebleu's `ja-mecab`.
    """
    try:
        import ipadic
        import MeCab
    except ImportError as error:
        raise missing_extra("ipadic" if error.name == "ipadic" else "mecab-python3", "ja") from None
    tagger = MeCab.Tagger(f"-Owakati {ipadic.MECAB_ARGS}")
    return lambda text: " ".join(tagger.parse(text).split())
