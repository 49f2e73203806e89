"""What a checkpoint's latent carries on a split: KL, active units, mutual information, perplexity.

KL is nats per sentence, as Sato et al. (2021) report it (KLD). Active units and importance-weighted perplexity follow Burda
et al. (2016), mutual information Hoffman and Johnson (2016). Perplexity under the prior is that of Cho et al. (2022).
"""

import math
import random
import sys
from typing import Any

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.losses import CONTEXT_WORTH, LATENT_WORTH
from fairseq_latent.memory import require_memory

from ..metrics.dialogues.sums import DialogueSums, by_dialogue
from ..metrics.worth import RESAMPLES, worth
from .latent_statistics import LatentStatistics

MUTUAL_INFORMATION_SENTENCES = 2000  # the mixture q(z) has as many components: the work grows with its square
LATENT_ELEMENTS = 2**22  # floats of latents held at once, however many importance samples there are


def statistics(path: str, data: str, split: str, *given: Any, **options: Any) -> LatentStatistics:
    """`statistics_by_dialogue`, which see, without the sums of dialogues."""
    return statistics_by_dialogue(path, data, split, *given, **options)[0]


def statistics_by_dialogue(
    path: str,
    data: str,
    split: str,
    seed: int = 1,
    cpu: bool = False,
    importance_samples: int = 0,
    importance_dtype: str = "float32",
    prior_samples: int = 0,
    max_dialogues: int | None = None,
    autocast: str = "none",
) -> tuple[LatentStatistics, DialogueSums | None]:
    """Run the model over a split; noise comes from (seed, example id), so that batches don't matter.

    importance_samples: how many latents per sentence `iw_ppl` takes, the K of its bound; 0 leaves it out.
    importance_dtype: precision of the products behind `iw_ppl` alone.
    prior_samples: passes of `prior_ppl`; 0 leaves it out.
    max_dialogues: so many dialogues, sampled by `seed`, in place of all.
    autocast: precision of the matrix products of all passes but those of `iw_ppl`; "none" is float32.
    The second result is None where DATA has no SPLIT.ids.
    """
    import torch
    from tqdm import tqdm

    from fairseq_latent.decoding.generation_flags import DIVERGED
    from fairseq_latent.gaussian import DiagonalGaussian
    from fairseq_latent.losses import active_units, mutual_information

    from .checkpoint import load
    from .other_examples import other_examples
    from .other_profiles import dialogues_of, other_profiles
    from .prior_nll import prior_nll, word_counter

    for flag, samples in (("importance", importance_samples), ("prior", prior_samples)):
        if samples < 0:
            raise InputError(f"--{flag}-samples {samples}; remedy: a positive number, or 0 for none")
        require_memory(
            12.0 * samples, f"--{flag}-samples {samples}", "fewer"
        )  # of one sentence: three numbers a sample
    trained = load(path, data, split, seed, cpu)
    dictionary = trained.task.target_dictionary
    pad, count_words = dictionary.pad(), word_counter(data, dictionary)
    others = other_profiles(trained, data, seed)
    swaps = other_examples(trained, data, context=prior_samples > 0, told=others is not None)
    rows: dict[str, list] = {}
    only, of_part = some_dialogues(data, split, len(trained.task.dataset(split)), max_dialogues, seed)
    pairs = len(trained.task.dataset(split)) if only is None else len(only)
    precision = torch.autocast(trained.device.type, torch.bfloat16, enabled=autocast == "bfloat16")
    with torch.no_grad(), precision, tqdm(total=pairs, desc=f"latents of {split}", unit="pair", disable=None) as bar:
        for batch in trained.batches(only=only):
            part = measured(trained.model, batch, pad, importance_samples, importance_dtype)
            part["words"] = torch.tensor([count_words(row) for row in batch["target"]])
            if prior_samples:
                part["prior"] = prior_nll(trained.model, batch, pad, prior_samples).T  # (B, N)
            if others is not None:
                part |= others.nll(trained.model, batch)
            if swaps is not None:
                part |= swaps.nll(batch, pad)
            for name, value in part.items():
                rows.setdefault(name, []).append(value.cpu())
            bar.update(len(batch["id"]))
    if not rows:
        raise InputError(f"{data}: split {split}: every pair is too long for the model; remedy: shorter pairs")
    columns = {name: torch.cat(parts) for name, parts in rows.items()}
    for name, values in columns.items():
        if not values.isfinite().all():
            raise InputError(f"{path}: {name} of {split} is no number, {DIVERGED}")
    ids, order = columns.pop("id").sort()
    columns = {name: values[order] for name, values in columns.items()}
    count, tokens = len(order), int(columns["tokens"].sum())
    skipped = pairs - count
    if skipped:
        print(f"{split}: {skipped} of {skipped + count} pairs are too long for the model and left out", file=sys.stderr)
    if count < 2:
        raise InputError(f"{data}: split {split} has {count} sentence; statistics need two or more")
    mean = columns["mean"].double()
    mixture = slice(0, MUTUAL_INFORMATION_SENTENCES)
    kind = getattr(trained.model, "latent_class", DiagonalGaussian)
    posterior = kind.of_moments(columns["mean"][mixture], columns["logvar"][mixture])
    nll, kl, weighted, beside = (columns[name].double().sum().item() for name in ("nll", "kl", "weighted", "beside"))
    of_prior = f"|prior-samples:{prior_samples}" if prior_samples else ""
    given = "|fader:given" if "fader_kl" in columns else ""
    words = int(columns["words"].sum())
    compared = _worth(columns, others.dialogues, ids.tolist(), tokens, words, seed) if others is not None else {}
    of_strangers = ""
    if swaps is not None:
        compared |= _listening(columns, swaps.dialogues, ids.tolist(), seed)
        of_strangers = f"|strangers:{'dialogues' if swaps.dialogues else 'texts'},alone:{swaps.alone}"
    of_dialogues = f"|worth:bs:{RESAMPLES},dialogues:{compared['dialogues']}" if compared.get("dialogues") else ""
    signature = (
        f"split:{split}{of_part}|z:posterior|K:1|seed:{seed}|au:0.01|mi-sentences:{len(posterior.mean)}{of_prior}{of_strangers}"
        f"|too-long:{skipped}{given}{of_dialogues}"
        f"{f'|precision:{autocast}' if autocast != 'none' else ''}{_of_importance(importance_samples, importance_dtype)}"
    )
    passes = columns["prior"].double().sum(0).tolist() if prior_samples else []
    mi = mutual_information(posterior, columns["z"][mixture]).mean().item()
    one_prior = not getattr(trained.task, "reads_context", True)
    named = dialogues_of(data, split, len(trained.task.dataset(split)))
    sums = None if named is None else _sums(columns, [named[row] for row in ids.tolist()])
    found = LatentStatistics(
        kl=kl / count,
        au=active_units(mean.sum(0), mean.square().sum(0), count),
        mi=mi,
        marginal_kl=kl / count - mi if one_prior else None,
        rec_ppl=_perplexity(nll / tokens),
        elbo_ppl=_perplexity((nll + kl + beside) / tokens),
        sentences=count,
        tokens=tokens,
        signature=signature,
        iw_ppl=_perplexity(weighted / tokens) if importance_samples else None,
        prior_ppl=_mean_perplexity(passes, tokens),
        prior_word_ppl=_mean_perplexity(passes, words),
        rec_word_ppl=_perplexity(nll / words),
        elbo_word_ppl=_perplexity((nll + kl + beside) / words),
        words=words,
        fader_kl=beside / count if "fader_kl" in columns else None,
        **compared,
    )
    return found, sums


def _sums(columns: dict, dialogues: list[str]) -> DialogueSums:
    """What each dialogue adds to perplexities, in nats, and to what contexts and profiles are worth."""
    nats, ones = columns["nll"].double().numpy(), np.ones(len(dialogues))
    sizes = {"_ppl": columns["tokens"].numpy(), "_word_ppl": columns["words"].numpy()}
    measures = {f"rec{end}": (nats, size) for end, size in sizes.items()}
    if "prior" in columns:
        of_prior = columns["prior"].double().mean(1).numpy()
        measures |= {f"prior{end}": (of_prior, size) for end, size in sizes.items()}
    for name, without in (("worth", "other"), ("worth_over_prior", "under_prior")):
        if without in columns:
            measures[name] = columns[without].double().numpy() - nats, ones
    if CONTEXT_WORTH in columns:
        counted = columns["counted"].double().numpy()
        saved = columns[CONTEXT_WORTH].double() - columns["prior"][:, 0].double()
        measures[CONTEXT_WORTH] = saved.numpy() * counted, counted
    return by_dialogue(dialogues, measures)


def some_dialogues(data: str, split: str, count: int, most: int | None, seed: int) -> tuple[frozenset[int] | None, str]:
    """The examples of `most` of the split's dialogues and what the signature says of them; None and "" for all."""
    from .other_profiles import dialogues_of

    if most is None:
        return None, ""
    names = dialogues_of(data, split, count)
    if names is None:
        raise InputError(f"--max-dialogues: {data} has no {split}.ids; remedy: copy it from the folder DATA.text")
    different = sorted(set(names))
    if most >= len(different):
        return None, ""
    sampled = set(random.Random(seed).sample(different, most))
    return frozenset(row for row, name in enumerate(names) if name in sampled), f"|dialogues:{most}-of-{len(different)}"


def _worth(
    columns: dict, dialogues: list[str] | None, ids: list[int], tokens: int, words: int, seed: int
) -> dict[str, float | int | None]:
    """The fields of `LatentStatistics` on what the right profile saves."""
    other, nll = columns["other"].double(), columns["nll"].double()
    of_these = [dialogues[row] for row in ids] if dialogues is not None else None
    found = {"other_ppl": _perplexity(other.sum().item() / tokens)}
    found["other_word_ppl"] = _perplexity(other.sum().item() / words)
    found["dialogues"] = len(set(of_these)) if of_these is not None else None
    for name, without in (("worth", other), ("worth_over_prior", columns["under_prior"].double())):
        saved = worth((without - nll).numpy(), of_these, seed)
        found[name] = saved.value
        found[f"{name}_low"], found[f"{name}_high"] = saved.interval or (None, None)
    return found


def _listening(columns: dict, dialogues: list[str] | None, ids: list[int], seed: int) -> dict[str, float | int | None]:
    """The fields of `LatentStatistics` on what own context and own response save."""
    counted = columns["counted"].numpy()
    own = {CONTEXT_WORTH: lambda: columns["prior"][:, 0], LATENT_WORTH: lambda: columns["nll"]}
    of_these = [dialogues[row] for row in ids] if dialogues is not None else None
    found = {"dialogues": len(set(of_these)) if of_these is not None else None}
    names = None if of_these is None else [name for name, kept in zip(of_these, counted, strict=True) if kept]
    for name in own.keys() & columns.keys():
        saved = (columns[name].double() - own[name]().double()).numpy()[counted]
        if len(saved):
            estimate = worth(saved, names, seed)
            found[name] = estimate.value
            found[f"{name}_low"], found[f"{name}_high"] = estimate.interval or (None, None)
    return found


def _of_importance(samples: int, dtype: str) -> str:
    """The part of the signature."""
    return (f"|iw-samples:{samples}" if samples else "") + (f"|iw:{dtype}" if samples and dtype != "float32" else "")


def measured(model, batch: dict, pad: int, importance_samples: int, importance_dtype: str) -> dict:
    """One batch, a row per sentence: everything but `weighted` is of the first latent of the sentence's noise."""
    import torch

    from fairseq_latent.gaussian import seeded_noise_chunks
    from fairseq_latent.losses import importance_weighted_nll

    from .checkpoint import distributions, posterior_inputs

    inputs, given = batch["net_input"], posterior_inputs(batch)
    prior, posterior, decoded = distributions(model, batch)
    size, latent_dim = posterior.mean.shape
    first, parts, dtype = None, [], getattr(torch, importance_dtype)

    def beside(z: torch.Tensor) -> dict:
        return model.divergences(z, inputs["src_tokens"], **given)

    chunk = max(1, LATENT_ELEMENTS // max(1, size * latent_dim))
    for noise in seeded_noise_chunks(inputs["noise_seed"], max(1, importance_samples), latent_dim, chunk):
        z = posterior.rsample(noise.transpose(0, 1))  # (n, B, Z)
        if first is None:
            first, nll_of_first, others = z[0], decoded.nll(z[0]), beside(z[0])
            if importance_samples <= 1:
                nll = nll_of_first + sum(others.values())
                parts.append((nll.unsqueeze(0), prior.log_prob(z), posterior.log_prob(z)))
                break
        with torch.autocast(z.device.type, dtype, enabled=dtype != torch.float32):
            nll = decoded.nll(z, dtype)
            if others:
                nll = nll + torch.stack([sum(beside(each).values()) for each in z])
            parts.append((nll, prior.log_prob(z), posterior.log_prob(z)))
    nll, log_prior, log_posterior = (torch.cat(column) for column in zip(*parts, strict=True))  # (K, B)
    return {
        "id": batch["id"],
        "nll": nll_of_first,
        "kl": posterior.kl(prior),
        "beside": sum(others.values(), torch.zeros_like(nll_of_first)),
        "weighted": importance_weighted_nll(nll, log_prior, log_posterior),
        "tokens": batch["target"].ne(pad).sum(1),
        "z": first,
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        **others,
    }


def _perplexity(nats_per_token: float) -> float:
    return math.exp(min(nats_per_token, 700.0))


def _mean_perplexity(passes: list[float], count: int) -> float | None:
    """Of the summed NLL of each pass; None without one."""
    return sum(_perplexity(nll / count) for nll in passes) / len(passes) if passes else None
