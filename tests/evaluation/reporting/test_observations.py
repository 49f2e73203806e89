"""What a report says in words, and what it takes a run for: from hand-made numbers and the flags' own defaults."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from fairseq_latent.evaluation.analysis.latent_statistics import LatentStatistics
from fairseq_latent.evaluation.metrics.response_metrics import Score
from fairseq_latent.evaluation.metrics.system_scores import Comparison, Row
from fairseq_latent.evaluation.reporting import published_results
from fairseq_latent.evaluation.reporting.comparisons import listed
from fairseq_latent.evaluation.reporting.kinds import OF_PERSONAS, OF_RESPONSES, OF_SENTENCES
from fairseq_latent.evaluation.reporting.observations import collapse, findings, latent, perceived
from fairseq_latent.evaluation.reporting.systems import MeasuredSystem
from fairseq_latent.evaluation.runs.method_names import (
    FAMILY,
    NAMED,
    STRUCTURE,
    beside_the_paper,
    bounds_likelihood,
    described,
    has_latent,
)
from fairseq_latent.evaluation.runs.run_folder import RunFolder
from fairseq_latent.evaluation.runs.training_config import TrainingSettings, changed
from fairseq_latent.text.word_tokenizers import LANGUAGES


def flags_of(criterion, **changes):
    """The settings that `--criterion NAME` and these flags leave in a checkpoint."""
    import fairseq_latent

    fairseq_latent.register()
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY

    config = CRITERION_DATACLASS_REGISTRY[criterion](**changes)
    flags = {field.name: str(getattr(config, field.name)) for field in fields(config)}
    flags |= {"label_smoothing": str(changes.get("label_smoothing", 0.1)), "init": "fairseq8"}
    model = "t_spacefusion" if criterion == "spacefusion" else "t_cvae"
    return TrainingSettings(f"{model}_small", criterion, flags, 5, 1.0, 10, model)


PAPER_ROWS = {
    "T-CVAE": ("elbo", {}),
    "T-CVAE + cyclical annealing": ("elbo", {"kl_schedule": "cyclical", "kl_cycle": "epoch"}),
    "SpaceFusion": ("spacefusion", {}),
    "T-CVAE + bag of words": ("bow_elbo", {}),
    "T-CVAE + Monte Carlo, K = 5": ("mc_elbo", {}),
    **{f"T-CVAE + speculative, K = {k}": ("speculative_elbo", {"k": k}) for k in (2, 5, 10, 20, 40)},
}


@pytest.mark.parametrize("name", PAPER_ROWS)
def test_each_row_of_the_paper_is_known_by_its_flags(name):
    criterion, changes = PAPER_ROWS[name]
    settings = flags_of(criterion, **changes)
    assert described(settings) == name
    assert beside_the_paper(settings) == []


@pytest.mark.parametrize("name", PAPER_ROWS)
def test_only_points_with_a_fixed_variance_have_no_kld(name):
    criterion, changes = PAPER_ROWS[name]
    assert bounds_likelihood(flags_of(criterion, **changes)) == (criterion != "spacefusion")
    assert bounds_likelihood(None)


def test_the_papers_rows_are_these_alone():
    for table in published_results.TABLES.values():
        assert set(table) == {published_results.REFERENCE, *PAPER_ROWS}
        assert all(len(numbers) == len(published_results.METRICS) for numbers in table.values())
    assert published_results.BESIDE.keys() == set(LANGUAGES)
    assert {published.place for published in published_results.BESIDE.values()} == set(published_results.TABLES)


@pytest.mark.parametrize(
    ("criterion", "changes", "name"),
    [
        ("speculative_elbo", {"k": 1}, "T-CVAE"),
        ("elbo", {"k": 5}, "T-CVAE + speculative, K = 5"),
        ("elbo", {"k": 5, "sample_reduction": "mean"}, "T-CVAE + Monte Carlo, K = 5"),
        ("speculative_elbo", {"k": 3}, "T-CVAE + speculative, K = 3"),
        ("elbo", {"kl_schedule": "linear", "kl_warmup": 500}, "T-CVAE + linear annealing"),
        ("elbo", {"kl_weight": 0.5}, "T-CVAE + KL weight 0.5"),
        ("bow_elbo", {"bow_weight": 0.1}, "T-CVAE + bag of words (bow weight 0.1)"),
        ("speculative_elbo", {"podi_weight": 1.0}, "T-CVAE + speculative, K = 5 + L_Po-di"),
        ("spacefusion", {"fusion_weight": 10.0}, "SpaceFusion + fusion weight 10"),
        ("elbo", {"k": 5, "sample_reduction": "importance"}, "T-CVAE + importance-weighted, K = 5"),
        ("elbo", {"kl_set_point": 3.0, "mmd_weight": 10.0}, "T-CVAE + KL set point 3 + mmd weight 10"),
        ("elbo", {"free_bits": 2.0, "free_bits_over": "total"}, "T-CVAE + free bits 2 + free bits over total"),
    ],
)
def test_what_runs_are(criterion, changes, name):
    assert described(flags_of(criterion, **changes)) == name


def test_what_is_done_to_latents_is_named():
    """By flags of models and tasks."""
    plain = flags_of("elbo")
    for flags, name in (
        ({"latent_kind": "categorical", "latent_codes": "20"}, "T-CVAE + 20 codes"),
        ({"posterior_norm": "none", "posterior_norm_scale": "0.5", "latent_scale": "1.0"}, "T-CVAE"),
        (
            {"posterior_norm": "batch", "posterior_norm_scale": "0.7"},
            "T-CVAE + batch norm of the posterior, scale 0.7",
        ),
        (
            {"latent_scale": "2.0", "pretrain_autoencoder": "500", "encoder_pooling": "max"},
            "T-CVAE + latent scale 2 + encoder pooling max + pretrain autoencoder 500",
        ),
    ):
        assert described(replace(plain, flags={**plain.flags, **flags})) == name


def test_a_criterion_of_its_own_is_named_as_what_it_is():
    """The tutorial's, with the flags of the ELBO and one more, and what its dataclass has by default."""
    margin = replace(flags_of("elbo"), criterion="margin_elbo")
    assert described(margin) == "T-CVAE, criterion margin_elbo"
    mixed = replace(flags_of("elbo", k=5), criterion="margin_elbo", own={"kl_margin": "3.0", "k": "5"})
    assert described(mixed) == "T-CVAE, criterion margin_elbo + speculative, K = 5 + kl margin 3.0"
    other = replace(margin, flags={"margin": "1"}, own={"margin": "1"})
    assert described(other) == "T-CVAE, criterion margin_elbo + margin 1"
    assert not {described(each) for each in (margin, mixed, other)} & published_results.ENGLISH.keys()


def test_a_new_flag_of_a_known_criterion_is_named():
    assert described(replace(flags_of("elbo"), own={"margin_weight": "1.0"})) == "T-CVAE + margin weight 1.0"
    assert described(replace(flags_of("spacefusion"), own={"x": "1", "fusion_clip": "2"})) == "SpaceFusion + x 1"


def test_flags_that_are_not_as_by_default():
    import fairseq_latent

    fairseq_latent.register()
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY

    config = CRITERION_DATACLASS_REGISTRY["speculative_elbo"]
    values = {each.name: each.default for each in fields(config)} | {"_name": "speculative_elbo"}
    assert changed(values, config) == {}
    assert changed({**values, "k": 2, "kl_cycle": "epoch"}, config) == {"k": "2", "kl_cycle": "epoch"}
    assert changed({"_name": "x", "margin": 1}, None) == {"margin": "1"}


def test_every_flag_of_our_criterions_is_named_or_changes_no_loss():
    import fairseq_latent

    fairseq_latent.register()
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.models import MODEL_DATACLASS_REGISTRY

    ours = [
        config
        for config in CRITERION_DATACLASS_REGISTRY.values()
        if config.__module__.startswith("fairseq_latent.criterions")
    ]
    known = {config.__module__.rsplit(".", 1)[1]: config for config in ours}
    family = [known[name] for name in (*FAMILY, "spacefusion")]
    assert {field.name for config in family for field in fields(config)} - {"_name"} == set(NAMED)
    defaults = {field.name: str(field.default) for field in fields(MODEL_DATACLASS_REGISTRY["t_cvae"])}
    assert {name: defaults[name] for name in STRUCTURE} == STRUCTURE


def test_another_model_is_not_the_papers():
    """An arch of no model that we know is named after itself; one of the T-CVAE with another structure says so."""
    unknown = replace(flags_of("elbo"), arch="w_cvae", model="w_cvae")
    assert described(unknown) == "w_cvae"
    joint = flags_of("elbo")
    joint = replace(joint, flags={**joint.flags, "posterior_encoding": "joint", "activation": "leaky_relu"})
    assert beside_the_paper(joint) == ["posterior encoding joint, there separate"]
    fusion = replace(flags_of("spacefusion"), criterion="my_fusion")
    assert described(fusion) == "t_spacefusion, criterion my_fusion"
    assert not bounds_likelihood(fusion)
    assert bounds_likelihood(replace(flags_of("elbo"), model="t_spacefusion"))


def test_a_sentence_vae_and_how_it_is_trained_are_named():
    settings = flags_of("podi_elbo", podi_form="literal")
    flags = {**settings.flags, "aggressive": "True"}
    settings = replace(settings, arch="gru_vae_small", model="gru_vae", flags=flags)
    assert described(settings) == "GRU-VAE + aggressive training + L_Po-di (podi form literal)"


def test_what_differs_from_the_papers_recipe_is_said():
    cyclical = flags_of("elbo", kl_schedule="cyclical", kl_cycle="500", label_smoothing=0.0)
    assert described(cyclical) in published_results.ENGLISH
    assert beside_the_paper(cyclical) == ["a cycle of 500 updates, there one epoch", "label smoothing 0, there 0.1"]
    plain = flags_of("elbo")
    older = {name: value for name, value in plain.flags.items() if name != "init"}
    for flags in (older, {**older, "init": "fairseq12"}):
        assert beside_the_paper(replace(plain, flags=flags)) == ["initial weights as in fairseq 0.12, there as in 0.8"]


def statistics(kl, au=2):
    return LatentStatistics(kl, au, 0.1, 10, 11, 20, 100, "")


def system(name, kl=0.3, au=2, bleu=1.0, dist=2.0, p=None, spread=0.1, **changes):
    """A measured run with these numbers; p: of each metric, against `base`."""
    values = {"BLEU": bleu, "dist-2": dist}
    extra = {"matches": [99, 99, 99, 99]}
    scores = {
        name: Score(name, value, "", extra, (value - spread, value + spread) if spread else None)
        for name, value in values.items()
    }
    compared = None if p is None else Comparison("base", dict.fromkeys(values, p), "")
    return MeasuredSystem(
        RunFolder(name, Path("x")),
        Row(name, "x", 21, 1, 1, scores, compared),
        statistics(kl, au),
        None,
        None,
        flags_of("speculative_elbo", **changes),
    )


def test_collapse_is_read_from_the_numbers():
    assert "has collapsed" in latent(system("x", kl=0.1, au=0))
    assert "lies apart from the prior, but" in latent(system("x", kl=3.0, au=0))
    assert "has not collapsed" in latent(system("x", kl=0.3, au=2))


def test_a_run_without_a_kld_is_told_by_its_active_units():
    point = system("x", kl=None, au=2)
    assert "It has no KLD" in latent(point)
    said_of_all = collapse([point, system("base")])
    assert said_of_all == ["The latent is used (some dimension is active): x, base (KLD 0.30)."]


def test_a_model_without_a_latent_is_not_called_collapsed():
    """HRED, and the persona model with --no-latents; its variety is sampling's, and is not blamed on the latent."""
    settings = replace(flags_of("elbo"), model="hred")
    without = replace(system("x", kl=None, au=None), settings=settings)
    assert latent(without).startswith("x has no latent") and not collapse([without])
    assert not has_latent(replace(settings, model="persona_cvae_gpt2", flags={"no_latents": "True"}))
    assert has_latent(replace(settings, model="vhred")) and has_latent(None)


PERSONA_ROWS = {
    "persona CVAE + L_Po-di": ("persona_cvae_gpt2", "podi_elbo", {}),
    "persona CVAE": ("persona_cvae_gpt2", "elbo", {"no_latents": "False", "profile_of": "partner"}),
    "persona CVAE + the speaker's own profile": ("persona_cvae_gpt2", "elbo", {"profile_of": "own"}),
    "language model without latents": ("persona_cvae_gpt2", "elbo", {"no_latents": "True"}),
    "RNN CVAE + linear annealing + bag of words (bow target tokens, bow hidden dim 400)": (
        "rnn_cvae",
        "bow_elbo",
        {"kl_schedule": "linear", "bow_target": "tokens", "bow_hidden_dim": "400"},
    ),
    "DialoGPT": ("dialogpt", "elbo", {}),
    "HRED": ("hred", "elbo", {}),
    "TransferTransfo": ("transfertransfo", "double_heads", {}),
}


@pytest.mark.parametrize("name", PERSONA_ROWS)
def test_systems_that_see_personas_are_known_by_their_flags(name):
    model, criterion, flags = PERSONA_ROWS[name]
    settings = replace(flags_of("elbo" if criterion not in FAMILY else criterion), criterion=criterion)
    settings = replace(settings, arch=model, model=model, flags={**settings.flags, **flags})
    assert described(settings) == name
    published = OF_PERSONAS.published["en"]
    assert published.numbers("persona CVAE + L_Po-di") == published_results.CONVAI2["the paper's model"]
    known = published.numbers(name) is not None
    assert known == ("L_Po-di" in name or "persona" not in name and "without" not in name)
    assert set(published_results.CONVAI2_ROWS.values()) == set(published_results.CONVAI2)


TREEBANK_ROWS = {  # a row -> criterion and flags, as scripts/tables/paper1_table3.sh trains it
    "Standard": ("elbo", {}),
    "+ KL annealing": ("elbo", {"kl_schedule": "linear"}),
    "+ cyclical annealing": ("elbo", {"kl_schedule": "cyclical"}),
    "+ aggressive training": ("elbo", {"aggressive": "True"}),
    "+ bag of words": ("bow_elbo", {"bow_target": "tokens", "bow_hidden_dim": "400"}),
    "+ L_Po-di, λ = .12": ("podi_elbo", {"podi_target": "0.12"}),
    "+ L_Po-di, λ = .15": ("podi_elbo", {}),
    "+ L_Po-di, λ = .18": ("podi_elbo", {"podi_target": "0.18"}),
    "+ L_Po-di, λ = .21": ("podi_elbo", {"podi_target": "0.21"}),
    None: ("elbo", {"k": "5"}),
}


@pytest.mark.parametrize("row", TREEBANK_ROWS)
def test_remedies_are_known_by_their_flags(row):
    criterion, flags = TREEBANK_ROWS[row]
    settings = flags_of(criterion)
    settings = replace(settings, arch="gru_vae_small", model="gru_vae", flags={**settings.flags, **flags})
    assert OF_SENTENCES.published["en"].numbers(described(settings)) == published_results.PENN_TREEBANK.get(row)
    assert set(published_results.TREEBANK_ROWS.values()) == set(published_results.PENN_TREEBANK)


def test_what_a_profile_is_worth_is_said_with_its_noise():
    found = replace(statistics(0.5), worth=1.25, worth_low=-0.5, worth_high=3.0)
    one = replace(system("x"), test=found)
    assert (
        "saves +1.25 nats per response over a stranger's (95 % interval \u22120.50 to +3.00): which is within"
        in perceived(one)
    )
    assert "more than chance" in perceived(replace(one, test=replace(found, worth_low=0.5)))
    few = perceived(replace(one, test=replace(found, worth_low=0.5, dialogues=4)))
    assert "over 4 dialogues: too few to say" in few and "interval" not in few
    assert "more than chance" in perceived(replace(one, test=replace(found, worth=-1.0, worth_low=-2, worth_high=-0.1)))
    assert "Zp has collapsed" in perceived(replace(one, test=statistics(0.0, au=0)))
    assert "stranger" not in perceived(replace(one, test=statistics(0.5)))


def said(systems):
    return "\n".join(findings(OF_RESPONSES, systems, None).all)


def test_a_difference_within_the_noise_is_called_so():
    assert "between b and base is within the noise (p = 0.200)" in said([system("base"), system("b", dist=2.2, p=0.2)])
    clear = said([system("base"), system("b", dist=2.2, p=0.001)])
    assert "The responses of b are more varied (p = 0.001)." in clear
    assert "base and b are level" in said([system("base"), system("b", p=1.0)])


def test_of_many_systems_the_ends_and_the_tests_are_named():
    many = [system("base"), *(system(f"s{n}", dist=2 + n, p=0.01 if n > 1 else 0.5, kl=n) for n in range(1, 5))]
    text = said(many)
    assert "dist-2: from 6.00% (s4) to 2.00% (base). The responses of s4 are the most varied." in text
    assert "Higher than base (p < 0.05): s2, s3, s4. Within the noise of base: s1." in text
    assert "It is used (some dimension" not in text
    assert "The latent is used (some dimension is active): base (KLD 0.30), s1 (KLD 1.00)" in text
    assert findings(OF_RESPONSES, many, None).each[0].startswith("base: KLD 0.30")
    near = [system("base"), system("a", dist=4.0, p=0.01), system("b", dist=4.1, p=0.01)]
    assert "b are the most varied, but its interval overlaps with that of a." in said(near)


def test_what_rises_with_k():
    by_k = [(1, 0.1, 2.0), (10, 1.0, 2.6), (2, 0.2, 2.4), (40, 2.0, 2.5)]
    systems = [system(f"K={k}", kl=kl, dist=dist, k=k, spread=0.3) for k, kl, dist in by_k]
    text = said(systems)
    assert (
        "T-CVAE + speculative, K = 1, 2, 10, 40, all else alike: KLD rises at every step (0.10, 0.20, 1.00, 2.00)"
        in text
    )
    assert (
        "dist-2 rises at 2 and falls at 1 of 3 steps (2.00, 2.40, 2.60, 2.50), though the intervals of the first"
        in text
    )
    tested = [system("base", k=1), system("b", k=2), system("c", k=5, dist=2.1, p=0.3)]
    assert "(2.00, 2.00, 2.10), from first to last within the noise (p = 0.300)" in said(tested)
    # another flag differs: no comparison of K
    assert "all else alike" not in said([*systems[:2], *(system("b", k=5 + n, bow_weight=1.0) for n in range(2))])
    # nor does a loss of its own beside others
    mine = [replace(each, settings=replace(each.settings, criterion="mine")) for each in systems[2:]]
    assert "all else alike" not in said([*systems[:2], *mine])


def test_trainings_that_never_reached_their_peak():
    short = system("short", kl_schedule="linear", kl_warmup=10)
    short.settings.flags["warmup_updates"] = "20"  # of a checkpoint of 5 updates
    text = said([system("base"), short])
    assert (
        "Trained with a learning rate that never reached its peak: short at 25% (5 updates, --warmup-updates 20)"
        in text
    )
    assert "Trained with a KL weight that never reached its peak: short at 50% (5 updates, --kl-warmup 10)" in text
    short.settings.flags.update(warmup_updates="5", kl_warmup="5")
    assert "peak" not in said([system("base"), short])


def test_trainings_that_differ_in_the_seed_alone():
    one, other = system("a"), system("b")
    one.settings.flags["seed"], other.settings.flags["seed"] = "1", "2"
    assert "a (seed 1) and b (seed 2) differ in nothing but the seed" in said([one, other])
    assert "Each system was trained once (seed 1, 2): intervals" in said([one, other])


def test_names_with_commas_stay_apart():
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a, K=5", "b"]) == "a, K=5; b"
