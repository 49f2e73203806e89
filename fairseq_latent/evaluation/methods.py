"""What a run is, in words made from its flags, never from its name: `T-CVAE + speculative, K = 5`."""

from .settings import TrainingSettings

MODELS = {"t_cvae": "T-CVAE", "gru_vae": "GRU-VAE"}  # a registered model -> what papers call it
SPACEFUSION = ("t_spacefusion", "spacefusion")  # model and criterion
SPACEFUSION_FLAGS = {"interpolation_weight": 1.0, "fusion_weight": 30.0, "fusion_clip": 0.3, "sigma": 0.1}
LABEL_SMOOTHING = 0.1
INIT = "fairseq8"  # initial weights of the authors' code; trainings that have no such flag started as fairseq12


def described(settings: TrainingSettings) -> str:
    """Model and loss; what a flag leaves as the plain ELBO has it is not mentioned."""
    if (settings.model, settings.criterion) == SPACEFUSION:
        return " + ".join(["SpaceFusion", *_changed(settings, SPACEFUSION_FLAGS), *_clipped(settings)])
    base = MODELS.get(settings.model, settings.model)
    if "sample_reduction" not in settings.flags:  # not of the ELBO family
        return f"{base}, criterion {settings.criterion}"
    return " + ".join([base, *_samples(settings), *_schedule(settings), *_terms(settings)])


def bounds_likelihood(settings: TrainingSettings | None) -> bool:
    """Whether a KL divergence is part of the training, so that KLD and ELBO say something of the run.

    SpaceFusion's prior and posterior are two points with one small fixed variance: their KLD is only a distance.
    """
    return settings is None or (settings.model, settings.criterion) != SPACEFUSION


def beside_the_paper(settings: TrainingSettings) -> list[str]:
    """What differs from the paper's recipe, though the method is the same; data and sizes are not looked at."""
    found = []
    if settings.flag("kl_schedule") == "cyclical" and settings.flag("kl_cycle") != "epoch":
        found.append(f"a cycle of {settings.flag('kl_cycle')} updates, there one epoch")
    smoothing = settings.number("label_smoothing")
    if smoothing is not None and smoothing != LABEL_SMOOTHING:
        found.append(f"label smoothing {smoothing:g}, there {LABEL_SMOOTHING:g}")
    if settings.model in ("t_cvae", "t_spacefusion") and settings.flags.get("init", "fairseq12") != INIT:
        found.append("initial weights as in fairseq 0.12, there as in 0.8")
    words = settings.number("selection_words")
    if words and settings.flag("k") != "1":
        found.append(f"the K samples ranked by {words:g} words of the vocabulary, there by all")
    return found


def _samples(settings: TrainingSettings) -> list[str]:
    k = settings.flag("k")
    if k == "1":
        return []
    return [f"{'Monte Carlo' if settings.flag('sample_reduction') == 'mean' else 'speculative'}, K = {k}"]


def _schedule(settings: TrainingSettings) -> list[str]:
    schedule = settings.flag("kl_schedule")
    found = [] if schedule == "constant" else [f"{schedule} annealing"]
    found += ["aggressive training"] if settings.flag("aggressive") == "True" else []
    return found + _changed(settings, {"kl_weight": 1.0, "free_bits": 0.0})


def _terms(settings: TrainingSettings) -> list[str]:
    found = []
    bow = {"bow_weight": 1.0, "bow_target": "types", "bow_hidden_dim": 0.0}
    podi = {"podi_weight": 1.0, "podi_target": 0.15, "podi_form": "per_dim"}
    for name, word, flags in (("bow_weight", "bag of words", bow), ("podi_weight", "L_Po-di", podi)):
        if settings.number(name):
            changed = ", ".join(_changed(settings, flags))
            found.append(f"{word} ({changed})" if changed else word)
    return found + _changed(settings, {"loss_scale": "elbo"})


def _changed(settings: TrainingSettings, usual: dict[str, float | str]) -> list[str]:
    """`flag value` for those that are there and not as usual."""
    found = []
    for name, value in usual.items():
        actual = settings.number(name) if isinstance(value, float) else settings.flags.get(name)
        if actual is not None and actual != value:
            shown = f"{actual:g}" if isinstance(actual, float) else actual
            found.append(f"{name.replace('_', ' ').replace('kl ', 'KL ')} {shown}")
    return found


def _clipped(settings: TrainingSettings) -> list[str]:
    return ["unclamped pull"] if settings.flag("no_clip_pull") == "True" else []
