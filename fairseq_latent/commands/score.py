"""`fairseq-latent score`: BLEU, dist-n, F1, relevance, duplicates and more of several systems' responses in one table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.arguments import (
    add_by_dialogue,
    add_output,
    add_persona_metrics,
    add_relevance,
    add_running,
    deliver,
)
from fairseq_latent.evaluation.metrics.persona_metrics import PersonaMeasures, persona_measures
from fairseq_latent.evaluation.metrics.relevance import TextEncoder, WordMeans, contexts_of, relevance_measure
from fairseq_latent.files import written_whole
from fairseq_latent.text.strangers import read_dialogues
from fairseq_latent.text.word_tokenizers import LANGUAGES, tokenizer
from fairseq_latent.text.word_vectors import load_vectors

from ..evaluation.metrics.conventions.rules import CONVENTIONS, convention_names
from ..evaluation.metrics.conventions.table import as_json as conventions_as_json
from ..evaluation.metrics.conventions.table import as_table, under_conventions
from ..evaluation.metrics.dialogues.sums import sums_of, write_sums
from ..evaluation.metrics.field.embeddings import WordRows
from ..evaluation.metrics.field.fluency import Fluency, Nats
from ..evaluation.metrics.field.judges import HumanFeedback, PersonaConsistency, own_profiles
from ..evaluation.metrics.field.mauve import FEWEST
from ..evaluation.metrics.field.measures import FieldMeasures
from ..evaluation.metrics.score import (
    UNKNOWN,
    Measured,
    System,
    check_bootstrap,
    cut_alike,
    measured_systems,
    read_systems,
    scored,
    words_of,
)
from ..evaluation.metrics.system_scores import Measure, Row
from ..evaluation.runs.response_files import read_lines

EQUAL_LENGTH = "the same, every response cut to the words of the shortest one that any system gives in its place:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent score`."""
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="NAME=FILE",
        help="a row's name and its responses: the output of fairseq-generate, text with one response a line, or JSON lines "
        'of any system, {"id", "responses": ["…"]} (.jsonl); NAME=FILE,FILE,…: the same model trained with several seeds',
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="after the systems: references, one per line, instead of the T- lines; several files of parallel lines: "
        "several references per context, fewer where a file after the first has a blank line",
    )
    parser.add_argument(
        "--ids",
        metavar="FILE",
        help="ids of the test set, one per line, by which JSON lines are joined (DATA.text/test.ids); default: lines from 0",
    )
    parser.add_argument(
        "--equal-length",
        action="store_true",
        help="a second table, of responses cut to the words of the shortest one that any system gives in their place",
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        default="en",
        help="words: Moses tokens (en), MeCab with ipadic (ja), characters (zh), or already separated "
        "by spaces (none); default: en",
    )
    parser.add_argument(
        "--hypothesis",
        choices=("first", "all", "mean"),
        default="first",
        help="of several responses per context, measure the first; all of them together, and their diversity; or the first "
        "ones, the second ones, ... and take the mean, whose distinct n-grams do not fall with their number; default: first",
    )
    add_persona_metrics(parser)
    add_relevance(parser)
    parser.add_argument(
        "--lm-path",
        metavar="FOLDER",
        help="a decoder-only language model in transformers' form (fairseq-latent weights smollm2 FOLDER): its perplexity "
        "of the responses, without contexts",
    )
    parser.add_argument(
        "--field",
        action="store_true",
        help="the columns of other papers, too: BLEU-1, BLEU-2, entropy, EAD, self-BLEU; embedding average, greedy and "
        "extrema (--vectors), F1 and MAUVE by an encoder (--encoder); of several responses per context BLEU precision and "
        "recall",
    )
    parser.add_argument(
        "--nli",
        metavar="FOLDER",
        help="with --own: C-score, by a model of natural language inference in transformers' form, e.g. bart-large-mnli",
    )
    parser.add_argument(
        "--own",
        metavar="FILE",
        help="profiles of who responds, one per line, <eot> between sentences: DATA.text/test.own",
    )
    parser.add_argument(
        "--rpt", metavar="FOLDER", help="DialogRPT, or another ranker of its form, in transformers' form: DialogRPT"
    )
    parser.add_argument(
        "--conventions",
        metavar="NAME,…",
        help="instead of the table: the first response to each context under the conventions of "
        f"{', '.join(CONVENTIONS)}, a line per convention and metric, each with its signature",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples of the contexts, for 95 %% intervals and p-values; 0: none; default: 1000",
    )
    add_running(parser, "the resamples and of strangers")
    parser.add_argument("--baseline", metavar="NAME", help="the system that p-values compare with; default: the first")
    add_output(parser)
    parser.add_argument(
        "--json-out", metavar="FILE", help="write JSON too, which `fairseq-latent report --scores` reads"
    )
    add_by_dialogue(parser, "; needs --dialogues, and one file per system")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def main(args: argparse.Namespace) -> None:
    """Read, measure, print."""
    from ..evaluation.reporting.score_table import NOTES, as_json, as_text

    systems = read_systems(args.systems, args.reference, read_lines(args.ids) if args.ids else None)
    _tell_of_unknown(systems[0])
    if args.conventions:
        found = under_conventions(systems, convention_names(args.conventions), args.lang)
        deliver(conventions_as_json(found) if args.format == "json" else as_table(found, args.format), args.out)
        return
    contexts = contexts_of(systems[0].generations, args.contexts)
    serve = args.field or contexts is not None
    further = persona_measures(args, len(systems[0].generations), tokenizer(args.lang), serve)
    more = _more(args, systems, contexts, further)

    def measured(some: Sequence[System]) -> Measured:
        return measured_systems(some, args.lang, args.hypothesis, further, more)

    def compared(found: Measured) -> list[Row]:
        return scored(found, args.bootstrap, args.seed, args.baseline)

    check_bootstrap(systems, args.bootstrap, args.seed, args.baseline)
    of_dialogues = _dialogues(args, systems)
    measurements = measured(systems)
    rows = compared(measurements)
    if of_dialogues is not None:
        write_sums(args.by_dialogue, {row.name: sums_of(each, of_dialogues) for row, each in measurements})
    samples = 1 if args.hypothesis == "first" else None
    alike = compared(measured(cut_alike(systems, args.lang, samples))) if args.equal_length else []
    if args.json_out is not None:
        with written_whole(args.json_out) as file:
            file.write(as_json(rows, alike))
    if args.format == "json":
        text = as_json(rows, alike)
    else:
        text = as_text(rows, args.format) + _further_notes(rows, args.format)
        if alike:
            text += f"\n{NOTES[args.format](EQUAL_LENGTH)}\n\n{as_text(alike, args.format)}"
    if args.out is None:
        sys.stdout.write(text)
        return
    with written_whole(args.out) as file:
        file.write(text)


def _more(
    args: argparse.Namespace, systems: Sequence[System], contexts: list[str] | None, further: PersonaMeasures
) -> list[Measure]:
    """Relevance, and the columns of --field."""
    if args.encoder and contexts is None and not args.field:
        raise InputError("--encoder: there are no contexts (S- lines); remedy: --contexts FILE")
    encoder = vectors = None
    if args.encoder:
        import torch

        from ..modules.sentence_encoder import TextEncoder as Bert

        encoder = Bert(args.encoder, torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu"))
    if args.vectors:
        vectors = further.proximity.keywords.vectors if further.proximity else load_vectors(args.vectors)
    more: list[Measure] = []
    encode: TextEncoder | None = encoder
    if encode is None and vectors is not None:
        words = tokenizer(args.lang)
        encode = WordMeans(vectors, Path(args.vectors).name, words, words.signature)
    if contexts is not None and encode is not None:
        references = None if systems[0].references is None else [texts[0] for texts in systems[0].references]
        dialogues = read_dialogues(args.dialogues, len(contexts)) if args.dialogues else None
        relevance = relevance_measure(encode, contexts, references, dialogues, args.seed)
        if relevance is None:
            print("note: no context has a stranger's, of another conversation: no relevance", file=sys.stderr)
        else:
            more.append(relevance)
    if args.lm_path:
        more.append(Fluency(_nats(args), Path(args.lm_path).resolve().name))
    if args.field:
        rows = None if vectors is None else WordRows(vectors, Path(args.vectors).name)
        people = None if systems[0].references is None else [texts[0] for texts in systems[0].references]
        if encoder is not None and people is not None and len(people) < 2 * FEWEST:
            print(f"note: {len(people)} contexts are too few for MAUVE, which needs {2 * FEWEST}", file=sys.stderr)
        more.append(FieldMeasures(max(2, words_of(systems, args.lang)), args.seed, rows, encoder, people))
    return more + _judges(args, len(systems[0].generations), contexts)


def _judges(args: argparse.Namespace, count: int, contexts: list[str] | None) -> list[Measure]:
    """Persona consistency and DialogRPT, by models of the user."""
    if bool(args.nli) != bool(args.own):
        raise InputError("--nli and --own belong together: a judge and the profiles; remedy: both, or neither")
    if args.rpt and contexts is None:
        raise InputError("--rpt: there are no contexts (S- lines); remedy: --contexts FILE")
    if not (args.nli or args.rpt):
        return []
    import torch

    from ..modules.sequence_classifier import SequenceClassifier

    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    judges: list[Measure] = []
    if args.nli:
        profiles = own_profiles(args.own, count)
        judges.append(PersonaConsistency(SequenceClassifier(args.nli, device), profiles))
    if args.rpt and contexts is not None:
        judges.append(HumanFeedback(SequenceClassifier(args.rpt, device), contexts))
    return judges


def _nats(args: argparse.Namespace) -> Nats:
    """By the model of --lm-path."""
    import torch

    from ..modules.language_models.text_likelihood import NatsOfTexts

    return NatsOfTexts(args.lm_path, torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu"))


def _further_notes(rows: Sequence[Row], style: str) -> str:
    """What systems repeat most, how those that were not trained here were sampled, and how seeds differ."""
    from ..evaluation.reporting.score_table import NOTES

    lines = [
        f"{row.name} repeats most: " + ", ".join(f"{count} x {text!r}" for text, count in commonest)
        for row in rows
        if (commonest := row.scores["duplicates"].extra["commonest"])
    ]
    lines += [f"{row.name}: decoded with {row.settings}" for row in rows if row.settings]
    for row in rows:
        if row.seeds > 1:
            spread = ", ".join(f"{name} {score.extra['sd']:.3g}" for name, score in row.scores.items())
            lines.append(f"{row.name}: mean of {row.seeds} seeds, whose standard deviations are: {spread}")
    return "".join(f"{NOTES[style](line)}\n" for line in lines)


def _tell_of_unknown(system: System) -> None:
    """No response matches `<<unk>>`, so BLEU comes out wrong; the text that was prepared has the words."""
    unknown = sum(UNKNOWN in texts[0] for texts in system.references or ())
    if unknown:
        print(
            f"note: {unknown} of {len(system.generations)} references have {UNKNOWN} for what the dictionary lacks; "
            "remedy: --reference with the text that was binarised, e.g. DATA.text/test.tgt",
            file=sys.stderr,
        )


def _dialogues(args: argparse.Namespace, systems: Sequence[System]) -> list[str] | None:
    """Of each context, where --by-dialogue asks; refused before anything is measured."""
    if not args.by_dialogue:
        return None
    names = [system.name for system in systems]
    if not args.dialogues:
        raise InputError("--by-dialogue: no dialogues are given; remedy: --dialogues DATA.text/test.ids")
    if len(set(names)) < len(names):
        raise InputError("--by-dialogue: a system has several seeds; remedy: a name of its own for each")
    return read_dialogues(args.dialogues, len(systems[0].generations))
