"""`fairseq-latent sheets`: rating pages for a human evaluation, or how many raters it needs."""

import argparse
from pathlib import Path

from fairseq_latent.errors import InputError, printable

from ..evaluation.arguments import TABLES
from ..ranges import COUNT, SHARE, SHARE_BELOW_ONE, Range, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent sheets`."""
    add = parser.add_argument
    add(
        "systems",
        nargs="*",
        metavar="NAME=FILE",
        help="a system's name and its responses: the output of fairseq-generate, or text with one response a line; the "
        "first response to each context is judged",
    )
    add(
        "--protocol",
        default="sensibleness-specificity",
        metavar="NAME|FILE.toml",
        help="sensibleness-specificity (Sato et al., 2021), persona (Cho et al., 2022), preference (two responses side by "
        "side), or a file of your own (default: sensibleness-specificity)",
    )
    add("--out", metavar="DIR", help="new folder for the pages, the sheets and key.json")
    add(
        "--contexts",
        metavar="FILE",
        help="what was answered, one context per line: DATA.text/test.src (default: the S- lines of fairseq-generate)",
    )
    add("--profiles", metavar="FILE", help="the partner's profiles, one per line: DATA.text/test.partner")
    add(
        "--dialogues",
        metavar="FILE",
        help="conversation:turn, one per line (DATA.text/test.ids): one context is taken from a dialogue",
    )
    add("--items", type=typed(int, COUNT), metavar="N", help="contexts to judge (default: the protocol's number)")
    add(
        "--ids", metavar="FILE", help="the ids of a hand-picked set of contexts, one per line, in place of a random one"
    )
    add("--raters", type=typed(int, Range(1, 1000)), default=6, metavar="N", help="raters, a page each (default: 6)")
    add("--per-item", type=typed(int, COUNT), metavar="N", help="raters per context (default: all)")
    add(
        "--repeat",
        type=typed(float, SHARE_BELOW_ONE),
        default=0.0,
        metavar="SHARE",
        help="share of the responses that each rater judges a second time, for agreement with oneself (default: 0)",
    )
    add(
        "--attention",
        type=typed(int, Range(0, 100)),
        default=0,
        metavar="N",
        help="attention checks per rater: items that say which number to choose (default: 0)",
    )
    add("--lang", choices=("en", "ja"), default="en", help="of the questions and the page (default: en)")
    add("--seed", type=int, default=1, help="of contexts, order and assignment (default: 1)")
    plan = parser.add_argument_group("how many raters and items, without NAME=FILE")
    plan.add_argument("--plan", action="store_true", help="print the power of the paired test instead of making pages")
    plan.add_argument(
        "--pilot",
        metavar="DIR",
        help="a study with ratings to simulate from (default: the means of the protocol's paper)",
    )
    plan.add_argument(
        "--difference",
        type=typed(float, Range(0, 10, above=True)),
        default=0.3,
        metavar="D",
        help="between the means of two systems, in points of the scale (default: 0.3)",
    )
    plan.add_argument(
        "--power", type=typed(float, SHARE), default=0.8, metavar="P", help="wanted power of the test (default: 0.8)"
    )
    plan.add_argument(
        "--comparisons",
        type=typed(int, Range(1, 1000)),
        default=1,
        metavar="N",
        help="tests among which the level of .05 is divided (Bonferroni; default: 1)",
    )
    plan.add_argument(
        "--simulations",
        type=typed(int, Range(100, 10_000)),
        default=1000,
        metavar="N",
        help="per cell (default: 1000)",
    )
    plan.add_argument("--format", choices=TABLES, default="text", help="format of the plan (default: text)")


def main(args: argparse.Namespace) -> None:
    """Make the pages, or print the plan."""
    from ..human_evaluation.protocol import read_protocol

    if args.plan:
        from ..human_evaluation.results.power import plan

        if args.systems or args.out:
            raise InputError("--plan makes no pages; remedy: leave out NAME=FILE and --out")
        print(plan(args))
        return
    if not args.systems or not args.out:
        raise InputError("there is nothing to judge; remedy: NAME=FILE … --out DIR, or --plan")
    from ..human_evaluation.sheets.build import build, described, files
    from ..human_evaluation.sheets.selection import read_material, select
    from ..human_evaluation.study import write_study

    protocol = read_protocol(args.protocol)
    material = read_material(args.systems, protocol, args.contexts, args.profiles, args.dialogues)
    selected = select(material, args.items, protocol, args.seed, args.ids)
    study = build(selected, protocol, args.lang, args.raters, args.per_item, args.repeat, args.attention, args.seed)
    write_study(study, Path(args.out), files(study))
    print(printable(described(study)))
    print(
        f"{Path(args.out) / 'rate.r1.html'} … : a page for each rater, who sends ratings.RATER.json back into that folder"
    )
    print(f"{Path(args.out) / 'key.json'}: which response is whose; keep it from the raters")
