"""Japanese text: characters normalised by neologdn."""

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
