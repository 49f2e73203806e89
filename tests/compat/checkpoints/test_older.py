"""Checkpoints and command lines of earlier versions."""

import torch
from fairseq import checkpoint_utils, options

from fairseq_latent.compat.checkpoints.allowed_models import asked_for
from fairseq_latent.compat.checkpoints.older import RENAMED
from tests.helpers import programs


def test_a_checkpoint_with_settings_of_before_loads(persona_run, persona_bin, tmp_path):
    state = torch.load(persona_run[0], weights_only=False)
    settings = state["cfg"]["model"]
    for old, new in RENAMED.items():
        settings[old] = settings.pop(new)
    old = tmp_path / "old.pt"
    torch.save(state, old)

    def loaded(path):
        with asked_for(stock=False):
            return checkpoint_utils.load_checkpoint_to_cpu(str(path))["cfg"]["model"]

    assert loaded(old) == loaded(persona_run[0])
    flags = ("--task", "persona_dialogue", "--beam", "1", "--max-len-b", "3")
    texts = [programs.decode(persona_bin, path, *flags).hypotheses() for path in (old, persona_run[0])]
    assert texts[0] == texts[1]


def test_flags_of_before_are_other_names(persona_bin):
    words = [str(persona_bin), *programs.PLUG_IN, "--task", "persona_dialogue", "--arch", "persona_cvae_gpt2_tiny"]
    given = ["--reader-layers", "1", "--reader-dropout", "0.25", "--reader-norm", "post", "--reader-init", "gpt2"]
    args = options.parse_args_and_arch(options.get_training_parser(), [*words, *given])
    assert (args.latent_encoder_layers, args.latent_encoder_dropout) == (1, 0.25)
    assert (str(args.latent_encoder_norm), str(args.latent_encoder_init)) == ("post", "gpt2")
