"""Responses of systems in small files, and `fairseq-latent score` on them."""

import json
import random
from pathlib import Path

from fairseq_latent.cli import main

REFERENCES = ["I like green tea .", "no , not at all .", "it is late now ."]
BASE = ["I like green tea too .", "no .", "it is late now ."]
OURS = ["I like green tea .", "not at all .", "is it late now ?"]


def text(lines):
    return "".join(f"{line}\n" for line in lines)


def generated(responses, references=REFERENCES):
    """A fairseq-generate file; `responses` holds one list a context."""
    lines = []
    for number, (answers, reference) in enumerate(zip(responses, references, strict=True)):
        lines += [f"S-{number}\tcontext {number}", f"T-{number}\t{reference}"]
        for answer in answers:
            lines += [f"H-{number}\t-1.0\t{answer}", f"D-{number}\t-1.0\t{answer}"]
    return text([*lines, "Generate test with beam=1: BLEU4 = 1.00, 1.0/1.0/1.0/1.0"])


def conversation(seed, lines=80):
    """(references, responses) of a model that gets about half of the words right."""
    generator = random.Random(0)
    references = [" ".join(generator.choices("abcdefg", k=generator.randrange(4, 12))) for _ in range(lines)]
    generator = random.Random(seed)
    kept = seed / 10
    return references, [
        " ".join(word if generator.random() < kept else generator.choice("abcdefghij") for word in line.split())
        for line in references
    ]


def write_files(folder: Path) -> None:
    """Two systems and their references as text and as fairseq-generate's output, and longer ones made by chance."""
    for name, content in {
        "base.txt": text(BASE),
        "ours.txt": text(OURS),
        "references.txt": text(REFERENCES),
        "base.gen": generated([[line] for line in BASE]),
        "ours.gen": generated([[line] for line in OURS]),
        "r.txt": text(conversation(5)[0]),
        "s5.txt": text(conversation(5)[1]),
        "s7.txt": text(conversation(7)[1]),
        "many.gen": generated([["a b", "a b"], ["a b", "c"], ["d", "e"]]),
    }.items():
        (folder / name).write_text(content, encoding="utf-8")


def score(*arguments):
    return main(["score", *arguments])


TWO = ["five=s5.txt", "seven=s7.txt", "--reference", "r.txt", "--lang", "none", "--bootstrap", "100"]


def rows(capsys, *arguments):
    """The rows of --json by name."""
    assert score(*arguments, "--json") == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def fails(capsys, *arguments):
    """Exit code 2 and one line on stderr, nothing on stdout."""
    assert score(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "remedy: " in err
    return err
