"""What a run is, in words made from its flags, never from its name: `T-CVAE + speculative, K = 5`."""

from .training_config import TrainingSettings

MODELS = {  # a registered model -> what papers call it
    "t_cvae": "T-CVAE",
    "gru_vae": "GRU-VAE",
    "persona_cvae_gpt2": "persona CVAE",
    "hred": "HRED",
    "rnn_cvae": "RNN CVAE",
    "vhred": "VHRED",
    "dialogpt": "DialoGPT",
    "transfertransfo": "TransferTransfo",
    "p2bot_transmitter": "P²BOT",
}
CRITERIONS = {
    "transfertransfo": "double_heads",
    "p2bot_transmitter": "self_play",
}  # a model -> the loss that belongs to it, and is not named
WITHOUT_LATENTS = ("hred", "dialogpt", "transfertransfo", "p2bot_transmitter")
NO_LATENTS = "language model without latents"
SPACEFUSION = ("t_spacefusion", "spacefusion")  # model and criterion
SPACEFUSION_FLAGS = {"interpolation_weight": 1.0, "fusion_weight": 30.0, "fusion_clip": 0.3, "sigma": 0.1}
PAPERS = ("t_cvae", "t_spacefusion")  # of Sato et al. (2021)
LABEL_SMOOTHING = 0.1
INIT = "fairseq8"  # initial weights of the authors' code; trainings that have no such flag started as fairseq12
# Criterions whose flags say all: their names only pick defaults. Any other is a loss of its own, whatever its flags.
FAMILY = ("elbo", "bow_elbo", "mc_elbo", "speculative_elbo", "podi_elbo")
NAMED = (  # flags of a criterion that are named below, or that change no loss
    *("k", "sample_reduction", "selection_dtype", "selection_words", "label_smoothing", "autocast", "prior_ppl"),
    *(
        "kl_weight",
        "kl_schedule",
        "kl_warmup",
        "kl_cycle",
        "kl_first_update",
        "fader_weight",
        "kl_set_point",
        "free_bits",
        "free_bits_over",
        "loss_scale",
    ),
    *("bow_weight", "bow_target", "bow_hidden_dim", "podi_weight", "podi_target", "podi_form", "mmd_weight"),
    *("interpolation_weight", "fusion_weight", "fusion_clip", "no_clip_pull"),
)
STRUCTURE = {  # of the paper's model; sizes are not looked at
    "activation": "leaky_relu",
    "fusion_activation": "leaky_relu",
    "posterior_input": "decoder_input",
    "posterior_encoding": "separate",
    "no_share_layers": "False",
    "no_share_output": "False",
    "lexical_model": "False",
}


def described(settings: TrainingSettings) -> str:
    """Model and loss; what a flag leaves as the plain ELBO has it is not mentioned."""
    if (settings.model, settings.criterion) == SPACEFUSION:
        return " + ".join(["SpaceFusion", *_changed(settings, SPACEFUSION_FLAGS), *_clipped(settings), *_own(settings)])
    base = MODELS.get(settings.model, settings.model) if has_latent(settings) else _without_latents(settings)
    if own_criterion(settings):
        base = f"{base}, criterion {settings.criterion}"
    if not has_latent(settings):
        return " + ".join([base, *_own(settings)])
    parts = (_samples, _schedule, _latent, _terms) if _of_elbo(settings) else ()
    known = [words for part in parts for words in part(settings)]
    return " + ".join([base, *_profile(settings), *known, *_own(settings)])


def has_latent(settings: TrainingSettings | None) -> bool:
    """Whether the model has any; one that nothing is known of has."""
    return settings is None or (settings.model not in WITHOUT_LATENTS and settings.flag("no_latents") != "True")


def _without_latents(settings: TrainingSettings) -> str:
    return MODELS[settings.model] if settings.model in WITHOUT_LATENTS else NO_LATENTS


def _profile(settings: TrainingSettings) -> list[str]:
    """Whose profile a persona model's posterior reads, where it is not the partner's."""
    return ["the speaker's own profile"] if settings.flag("profile_of") == "own" else []


def own_criterion(settings: TrainingSettings) -> str:
    """A criterion that is a loss of its own, "" for those whose flags say all, or that belong to the model."""
    return "" if settings.criterion in (*FAMILY, CRITERIONS.get(settings.model)) else settings.criterion


def _of_elbo(settings: TrainingSettings) -> bool:
    """Whether the criterion is the ELBO's or inherits from it."""
    return "sample_reduction" in settings.flags


def bounds_likelihood(settings: TrainingSettings | None) -> bool:
    """Whether a KL divergence is part of the training, so that KLD and ELBO say something of the run.

    SpaceFusion's prior and posterior are two points with one small fixed variance: their KLD is only a distance.
    """
    return settings is None or settings.model != SPACEFUSION[0] or _of_elbo(settings)


def beside_the_paper(settings: TrainingSettings) -> list[str]:
    """What differs from the recipe of Sato et al. (2021) in a run of the same method; data and sizes are not looked at."""
    found = [
        f"{name.replace('_', ' ')} {settings.flags[name]}, there {usual}"
        for name, usual in STRUCTURE.items()
        if settings.flags.get(name, usual) != usual
    ]
    if settings.flag("kl_schedule") == "cyclical" and settings.flag("kl_cycle") != "epoch":
        found.append(f"a cycle of {settings.flag('kl_cycle')} updates, there one epoch")
    smoothing = settings.number("label_smoothing")
    if settings.model in PAPERS and smoothing is not None and smoothing != LABEL_SMOOTHING:
        found.append(f"label smoothing {smoothing:g}, there {LABEL_SMOOTHING:g}")
    if settings.model in PAPERS and settings.flags.get("init", "fairseq12") != INIT:
        found.append("initial weights as in fairseq 0.12, there as in 0.8")
    words = settings.number("selection_words")
    if words and settings.flag("k") != "1":
        found.append(f"the K samples ranked by {words:g} words of the vocabulary, there by all")
    return found


def _samples(settings: TrainingSettings) -> list[str]:
    k = settings.flag("k")
    if k == "1":
        return []
    named = {"mean": "Monte Carlo", "importance": "importance-weighted"}.get(
        settings.flag("sample_reduction"), "speculative"
    )
    return [f"{named}, K = {k}"]


def _schedule(settings: TrainingSettings) -> list[str]:
    schedule = settings.flag("kl_schedule")
    found = [] if schedule == "constant" else [f"{schedule} annealing"]
    found += ["aggressive training"] if settings.flag("aggressive") == "True" else []
    usual = {
        "kl_weight": 1.0,
        "fader_weight": 1.0,
        "kl_set_point": 0.0,
        "free_bits": 0.0,
        "free_bits_over": "dimension",
    }
    return found + _changed(settings, usual)


def _latent(settings: TrainingSettings) -> list[str]:
    """What is done to posterior and latents, and how the encoder came to them."""
    scale = settings.flag("posterior_norm_scale")
    found = [f"batch norm of the posterior, scale {scale}"] if settings.flag("posterior_norm") == "batch" else []
    found += [f"{settings.flag('latent_codes')} codes"] if settings.flag("latent_kind") == "categorical" else []
    usual = {"latent_scale": 1.0, "encoder_pooling": "last", "pretrain_autoencoder": 0.0}
    return found + _changed(settings, usual)


def _terms(settings: TrainingSettings) -> list[str]:
    found = []
    bow = {"bow_weight": 1.0, "bow_target": "types", "bow_hidden_dim": 0.0}
    podi = {"podi_weight": 1.0, "podi_target": 0.15, "podi_form": "per_dim"}
    for name, word, flags in (("bow_weight", "bag of words", bow), ("podi_weight", "L_Po-di", podi)):
        if settings.number(name):
            changed = ", ".join(_changed(settings, flags))
            found.append(f"{word} ({changed})" if changed else word)
    return found + _changed(settings, {"mmd_weight": 0.0, "loss_scale": "elbo"})


def _changed(settings: TrainingSettings, usual: dict[str, float | str]) -> list[str]:
    """`flag value` for those that are there and not as usual."""
    found = []
    for name, value in usual.items():
        actual = settings.number(name) if isinstance(value, float) else settings.flags.get(name)
        if actual is not None and actual != value:
            shown = f"{actual:g}" if isinstance(actual, float) else actual
            found.append(f"{name.replace('_', ' ').replace('kl ', 'KL ')} {shown}")
    return found


def _own(settings: TrainingSettings) -> list[str]:
    """Flags of the criterion that this file does not know, where they are not as by default."""
    return [f"{name.replace('_', ' ')} {value}" for name, value in settings.own.items() if name not in NAMED]


def _clipped(settings: TrainingSettings) -> list[str]:
    return ["unclamped pull"] if settings.flag("no_clip_pull") == "True" else []
