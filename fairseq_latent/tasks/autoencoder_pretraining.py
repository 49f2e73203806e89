"""Training first as an autoencoder, then with a new decoder (Li et al., 2019, arXiv 1909.00868; Optimus: Li et al., 2020).

While a decoder that has learnt to read latents is thrown away, the encoder keeps what it has learnt to write into them.
"""

import logging

from fairseq.models import FairseqEncoderDecoderModel
from torch import nn

from ..errors import InputError

logger = logging.getLogger(__name__)


class AutoencoderPretraining:
    """Gives the decoder its first weights back once `updates` are done; the KL weight is 0 until then, by the criterion.

    What encoder and decoder share stays as it is. The first weights are those that the model was built with, which a
    training that goes on builds again.
    """

    def __init__(self, updates: int, model: FairseqEncoderDecoderModel):
        of_encoder = {id(parameter) for parameter in model.encoder.parameters()}
        own = [parameter for parameter in model.decoder.parameters() if id(parameter) not in of_encoder]
        self.updates = updates
        self.first = [(parameter, parameter.detach().cpu().clone()) for parameter in own if parameter.requires_grad]
        self.done = False

    def begin_update(self, update_num: int, optimizer) -> None:
        """Before each batch of an update: at the last of the pretraining the decoder starts again, once."""
        if self.done or update_num != self.updates:
            return
        for parameter, first in self.first:
            parameter.data.copy_(first)
            optimizer.optimizer.state.pop(parameter, None)  # Adam's moments are of other weights
        self.done = True
        logger.info(
            f"pretraining as an autoencoder ends: --pretrain-autoencoder {self.updates}; the decoder starts again"
        )


def refuse_what_cannot(cfg, model: nn.Module) -> None:
    """Refuse what can't be pretrained, before anything is trained."""
    if cfg.fp16 or cfg.bf16:
        raise InputError(
            "--pretrain-autoencoder resets a part of the model, which --fp16 and --bf16 cannot; remedy: --autocast bfloat16"
        )
    if not getattr(model, "latent_dim", 0):
        raise InputError("--pretrain-autoencoder needs a latent, this model has none; remedy: leave it out")
