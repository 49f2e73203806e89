"""A Markdown page with a part that a command keeps up to date, between two marks; what people wrote around it stays."""

from fairseq_latent.errors import InputError


def marks(name: str) -> tuple[str, str]:
    """The lines before and after the part."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def with_part(text: str, name: str, part: str, title: str) -> str:
    """The page with `part` between its marks; a page without marks gets them at its end, an empty one `title` first."""
    begin, end = marks(name)
    if (begin in text) != (end in text):
        raise InputError(f"the page has one of the two marks {begin} and {end}; remedy: both, or none")
    if begin not in text:
        text = f"{text or title}{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"
