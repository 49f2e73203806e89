"""Puts every work-around in place; each says why it is here, and when to delete it.

`apply()` patches module attributes, which fairseq always looks up at call time. It runs when the package is imported,
before any data set, checkpoint or process group is touched.
"""

import sys
import warnings

from fairseq import checkpoint_utils, hub_utils, ngram_repeat_block, options
from fairseq.data import data_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.logging import progress_bar
from fairseq.models import BaseFairseqModel, distributed_fairseq_model
from fairseq.models.ema.ema import EMA
from fairseq.optim import fp16_optimizer
from fairseq.optim.lr_scheduler import reduce_lr_on_plateau
from fairseq.tasks import FairseqTask
from fairseq.trainer import Trainer

from . import (
    batches,
    budget,
    command_line,
    decoding,
    distributed,
    error_messages,
    flag_ranges,
    gpu_flags,
    ownership,
    shards,
    updates,
)
from .checkpoints import allowed_models, checkpoint_files, older, plain_values, resuming, trust


def apply() -> None:
    """Apply all of them, once."""
    if getattr(distributed_utils, "_fairseq_latent", False):
        return
    distributed_utils._fairseq_latent = True
    batches.restore_numpy_names()
    checkpoint_files.allow_checkpoint_types()
    plain_values.replace_eval()
    checkpoint_utils.torch = trust.CheckedTorch(checkpoint_utils.torch)
    checkpoint_utils._upgrade_state_dict = trust.refuse_damaged(checkpoint_utils._upgrade_state_dict)
    checkpoint_utils.load_model_ensemble_and_task = allowed_models.note_own_task(
        checkpoint_utils.load_model_ensemble_and_task
    )
    hub_utils.from_pretrained = allowed_models.note_hub(hub_utils.from_pretrained)
    BaseFairseqModel.from_pretrained = allowed_models.note_own_class(vars(BaseFairseqModel)["from_pretrained"])
    data_utils.batch_by_size = batches.keep_last_batch(data_utils.batch_by_size)
    FairseqTask.get_batch_iterator = batches.compose_batches_once(FairseqTask.get_batch_iterator)
    FairseqTask.get_batch_iterator = shards.give_each_shard_work(FairseqTask.get_batch_iterator)
    FairseqTask.build_generator = decoding.honour_topk_with_topp(FairseqTask.build_generator)
    FairseqTask.inference_step = decoding.number_beams_in_batch(FairseqTask.inference_step)
    ngram_repeat_block.NGramRepeatBlock._no_repeat_ngram = decoding._no_repeat_ngram
    # the compiled extension bans </s> where n = 1, and takes neither half precision nor more than 1,024 places
    ngram_repeat_block.is_cuda_extension_usable = lambda: False
    checkpoint_utils.load_checkpoint_to_cpu = older.give_prior_a_bias(checkpoint_utils.load_checkpoint_to_cpu)
    checkpoint_utils.load_checkpoint_to_cpu = checkpoint_files.name_broken_checkpoints(
        checkpoint_utils.load_checkpoint_to_cpu
    )
    PathManager.copy = staticmethod(checkpoint_files.copy_whole(PathManager.copy))
    checkpoint_utils.torch_persistent_save = checkpoint_files.save_whole(checkpoint_utils.torch_persistent_save)
    checkpoint_utils.checkpoint_paths = checkpoint_files.list_negative_bests(checkpoint_utils.checkpoint_paths)
    distributed_utils._broadcast_object_slow = distributed.unpickle_own_objects(
        distributed_utils._broadcast_object_slow
    )
    distributed_utils.all_gather_list = distributed.gather_without_cuda(distributed_utils.all_gather_list)
    distributed_utils._infer_torch_distributed_launch_init = distributed.infer_torchrun(
        distributed_utils._infer_torch_distributed_launch_init
    )
    distributed_utils.call_main = distributed.call_main_anywhere(distributed_utils.call_main)
    distributed_utils.distributed_main = distributed.distributed_main
    distributed_utils.distributed_init = distributed.meet_in_time(distributed_utils.distributed_init)
    EpochBatchIterator.state_dict = distributed.note_workers(EpochBatchIterator.state_dict)
    EpochBatchIterator.load_state_dict = distributed.place_of_workers(EpochBatchIterator.load_state_dict)
    distributed_fairseq_model.DistributedDataParallel = distributed.parallel_on_cpus(
        distributed_fairseq_model.DistributedDataParallel
    )
    Trainer.begin_epoch = budget.warn_of_short_schedules(Trainer.begin_epoch)
    Trainer.train_step = distributed.seed_batches_apart(Trainer.train_step)
    Trainer.train_step = updates.count_before(Trainer.train_step)
    Trainer.state_dict = resuming.keep_states(Trainer.state_dict)
    Trainer.load_checkpoint = resuming.begin_moving_average(Trainer.load_checkpoint)
    Trainer.load_checkpoint = allowed_models.weights_alone(resuming.restore_states(Trainer.load_checkpoint))
    plateau = reduce_lr_on_plateau.ReduceLROnPlateauLRSchedule
    plateau.state_dict = resuming.keep_plateau(plateau.state_dict)
    plateau.load_state_dict = resuming.restore_plateau(plateau.load_state_dict)
    EMA._step_internal = resuming.average_tied_weights_once(EMA._step_internal)
    mixed_precision = fp16_optimizer._FP16OptimizerMixin
    mixed_precision.state_dict = resuming.keep_master_weights(mixed_precision.state_dict)
    mixed_precision.load_state_dict = resuming.restore_master_weights(mixed_precision.load_state_dict)
    progress_bar.progress_bar = command_line.log_once(progress_bar.progress_bar)
    options.parse_args_and_arch = ownership.note_owner(options.parse_args_and_arch)
    options.parse_args_and_arch = flag_ranges.check_ranges(options.parse_args_and_arch)
    options.parse_args_and_arch = shards.share_split(options.parse_args_and_arch)
    options.parse_args_and_arch = gpu_flags.refuse_without_gpu(options.parse_args_and_arch)
    options.parse_args_and_arch = allowed_models.note_task(options.parse_args_and_arch)
    options.parse_args_and_arch = command_line.spare_the_terminal(options.parse_args_and_arch)
    options.parse_args_and_arch = command_line.show_all_flags(options.parse_args_and_arch)
    # fairseq's attention mixes a float mask with a boolean one, as it always did: torch says so at every start
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask is deprecated")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"fairseq\.")
    # fairseq's way of calling hydra, deprecated in seven ways
    warnings.filterwarnings("ignore", category=UserWarning, module=r"hydra\.")
    warnings.filterwarnings("ignore", message=r"\s*'config' is validated against ConfigStore schema")
    warnings.filterwarnings("ignore", message="'pin_memory' argument is set as true but no accelerator is found")
    sys.excepthook = error_messages.one_line_hook(sys.excepthook)
