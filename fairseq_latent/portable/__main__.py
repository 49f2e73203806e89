"""`python -m fairseq_latent.portable FOLDER`: replies of an exported model to contexts, one per line of stdin."""

import sys
from collections.abc import Sequence

from ..errors import Parser, run
from ..ranges import COUNT, SEED, check
from .model import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 for the user's mistakes."""
    parser = Parser(prog="python -m fairseq_latent.portable", description=__doc__)
    parser.add_argument("folder", help="made by fairseq-latent export")
    parser.add_argument("--replies", type=int, default=1, help="per context, each of a latent of its own; default: 1")
    parser.add_argument("--beam", type=int, default=5, help="width of the beam search, 0: sample words; default: 5")
    parser.add_argument("--max-length", type=int, default=40, help="tokens of a reply; default: 40")
    parser.add_argument("--seed", type=int, help="of all noise; default: that of the training")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")

    def reply() -> None:
        args = parser.parse_args(arguments)
        check(vars(args), {"replies": COUNT, "max_length": COUNT} | ({} if args.seed is None else {"seed": SEED}))
        model = load(args.folder, args.cpu)
        for line in sys.stdin:
            options = {"seed": args.seed, "beam": args.beam, "max_length": args.max_length}
            (replies,) = model.reply([line.rstrip("\n")], args.replies, **options)
            print("\t".join(reply.text for reply in replies), flush=True)

    return run(reply)


if __name__ == "__main__":
    sys.exit(main())
