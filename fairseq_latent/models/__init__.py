"""One file a paper; importing it registers its architectures."""

from . import (  # noqa: F401
    dialogpt,
    gru_vae,
    hred,
    p2bot_receiver,
    p2bot_transmitter,
    persona_cvae_gpt2,
    rnn_cvae,
    t_cvae,
    t_spacefusion,
    transfertransfo,
    vhred,
)
