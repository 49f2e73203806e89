"""What can be asked of decoding: flags that no search obeys, and models that say nothing, are refused in one line."""

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..memory import require_memory
from ..ranges import AMOUNT, COUNT, FINITE, Range, check

RANGES = {
    "beam": COUNT,
    "nbest": COUNT,
    "max_len_a": AMOUNT,
    "max_len_b": AMOUNT,
    "min_len": AMOUNT,
    "temperature": Range(1e-3, 1e3),  # beyond, logits are no numbers any more
    "lenpen": Range(-100, 100),  # a power of the length
    "unkpen": FINITE,
    "lm_weight": FINITE,
    "prefix_size": AMOUNT,
    "no_repeat_ngram_size": AMOUNT,
    "sampling_topk": Range(-1),
    "sampling_topp": Range(-1, 1),
    "diverse_beam_strength": FINITE,
    "diversity_rate": FINITE,
}
LEAST_STEPS = 20  # tokens of a response that memory has to suffice for; most have more
OBJECTS = 3000  # bytes of a finished hypothesis
DIVERGED = "its training has diverged; remedy: an earlier checkpoint"


def check_flags(flags: object) -> None:
    """Refuse a generation's settings (of a command line, or a GenerationConfig) that fairseq would fail at, or ignore."""
    named = {name: getattr(flags, name, None) for name in RANGES}
    check(named, RANGES)
    for refusal in _refusals(flags, {name: value for name, value in named.items() if value is not None}):
        raise InputError(refusal)


def _refusals(flags: object, named: dict) -> Iterable[str]:
    beam, nbest, groups = named.get("beam", 5), named.get("nbest", 1), getattr(flags, "diverse_beam_groups", None) or -1
    searches = {
        "--sampling": getattr(flags, "sampling", False),
        "--diverse-beam-groups": groups > 0,
        "--match-source-len": getattr(flags, "match_source_len", False),
        "--diversity-rate": named.get("diversity_rate", -1) > -1,
        "--constraints": getattr(flags, "constraints", None),
    }
    asked = [name for name, value in searches.items() if value]
    if len(asked) > 1:
        yield f"{' and '.join(asked)} are searches of their own; remedy: one of them"
    if searches["--sampling"] and nbest != beam:
        yield (
            f"--sampling --beam {beam} --nbest {nbest}: the likeliest of several samples are no samples; remedy: --beam "
            f"{nbest} --nbest {nbest}"
        )
    if nbest > beam:
        yield f"--nbest {nbest}: a search with --beam {beam} has no more than {beam}; remedy: --beam {nbest}"
    for name in ("sampling_topk", "sampling_topp"):
        if named.get(name, -1) >= 0 and not searches["--sampling"]:
            yield f"--{name.replace('_', '-')} {named[name]} without --sampling; remedy: both, or neither"
    if groups > 0 and beam % groups:
        yield f"--diverse-beam-groups {groups} of --beam {beam}; remedy: groups that divide it"
    longest, least = named.get("max_len_b", 200), named.get("min_len", 1)
    if not named.get("max_len_a", 0) and not searches["--match-source-len"] and longest < least:
        yield f"--max-len-b {longest} is below --min-len {least}; remedy: {least} or more"
    for name in ("print_step", "retain_iter_history"):
        if getattr(flags, name, False):
            yield f"--{name.replace('_', '-')}: for models that refine a whole text in steps; remedy: leave it out"
    if getattr(flags, "replace_unk", None) is not None:
        yield "--replace-unk copies words of a raw text (--dataset-impl raw), which is not kept here; remedy: leave it out"


def check_models(models: Iterable[nn.Module], flags: object, language_model: nn.Module | None = None) -> None:
    """Refuse models that have nothing to say, or nothing to align, and a `language_model` that is none."""
    if hasattr(language_model, "encoder"):
        raise InputError("--lm-path: that model answers contexts, it is no language model; remedy: one of fairseq's")
    for model in models:
        require_finite(model)
        if getattr(flags, "print_alignment", None) and not getattr(model, "aligns", False):
            raise InputError("--print-alignment: this model has no attention to the context; remedy: leave it out")


def require_finite(model: nn.Module, where: object = None) -> None:
    """InputError for a model with a parameter that is infinite or NaN."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(
                f"{f'{where}: ' if where else ''}the model's {name} has values that are no numbers, {DIVERGED}"
            )


def explained(error: AssertionError, generator, net_input: dict, constraints: Tensor | None) -> InputError | None:
    """Why a search found no hypothesis, None for other errors."""
    if "min_len cannot be larger" in str(error):
        return InputError(
            f"--min-len {generator.min_len} is more than --max-len-a, --max-len-b and the model's positions allow; "
            "remedy: a smaller one"
        )
    steps = re.fullmatch(r"(\d+) < \1", str(error))
    if steps is None:
        return None
    if _first_words(generator, net_input).isnan().any():
        return InputError(f"the model's probabilities are no numbers, {DIVERGED}")
    if constraints is not None:
        return InputError(
            f"no response of {steps[1]} tokens has all of its --constraints; remedy: a larger --max-len-b"
        )
    return InputError(
        f"no response can end within {steps[1]} tokens; remedy: a smaller --min-len, or a larger --no-repeat-ngram-size"
    )


def _first_words(generator, net_input: dict) -> Tensor:
    """(B, V): log probabilities of the responses' first words."""
    model = generator.model
    start = torch.full_like(net_input["src_tokens"][:, :1], generator.eos)
    with torch.no_grad():
        return model.forward_decoder(start, model.forward_encoder(net_input), [{} for _ in model.models])[0]


def require_room(generator: object, model: nn.Module, source: Tensor, num_latents: int) -> None:
    """Refuse, before anything is expanded, more hypotheses of contexts (B, S) at once than the machine can hold.

    Counted is what is needed at least: an attention cache of a few tokens, scores of one step, the finished hypotheses.
    """
    contexts, length = source.shape
    rows = contexts * num_latents * generator.beam_size
    steps = min(generator.max_len, int(generator.max_len_a * length) + generator.max_len_b)
    layers = sum(name.endswith(("self_attn", ".attn")) for name, _ in model.decoder.named_modules())
    width = getattr(getattr(model.encoder, "embed_tokens", None), "embedding_dim", 1)
    number = next(model.parameters()).element_size()
    cached = 2 * layers * (length + min(steps, LEAST_STEPS)) * width * number
    on_device = rows * (cached + 2 * number * generator.vocab_size + 12 * steps)
    free = None if source.device.type != "cuda" else torch.cuda.mem_get_info(source.device)[0]
    latents = f"{num_latents:,} latents (--latent-samples, --replies) and " if num_latents > 1 else ""
    what = f"{latents}--beam {generator.beam_size}, for {contexts:,} contexts at once"
    remedy = "fewer" if contexts == 1 else "fewer, or a smaller --batch-size"
    require_memory(on_device + (rows * OBJECTS if free is None else 0), what, remedy, free)
