"""Ranges of fairseq's own flags, which it takes as they come: `--lr -1` trains nothing, `--dropout nan` everything wrong.

They are checked where a task, an architecture or a criterion of this plugin is named; stock models are left alone.
"""

import argparse

from .. import ranges
from ..decoding import generation_flags
from ..errors import InputError
from ..ranges import AMOUNT, COUNT, POSITIVE, SHARE, SHARE_BELOW_ONE, Numbers, Range
from .ownership import owners, with_flags

OFF_OR_AMOUNT = Range(-1)  # -1: not at all
BETAS = Numbers(2, SHARE_BELOW_ONE)

# fairseq's name of a flag -> its numbers. Delete when its dataclasses declare them.
RANGES: dict[str, ranges.Allowed] = {
    # data, and translation's part of ours
    "max_source_positions": COUNT,
    "max_target_positions": COUNT,
    "num_batch_buckets": AMOUNT,
    "upsample_primary": OFF_OR_AMOUNT,
    "eval_bleu_args": ranges.JSONObject(),
    "eval_bleu_detok_args": ranges.JSONObject(),
    "num_workers": Range(0, 1_024),
    "max_tokens": COUNT,
    "max_tokens_valid": COUNT,
    "batch_size": COUNT,
    "batch_size_valid": COUNT,
    "required_batch_size_multiple": COUNT,
    "required_seq_len_multiple": COUNT,
    "data_buffer_size": AMOUNT,
    "curriculum": AMOUNT,
    "num_shards": COUNT,
    "shard_id": AMOUNT,
    "model_overrides": ranges.Dictionary(),
    # training
    "seed": ranges.SEED,
    "fixed_validation_seed": ranges.SEED,
    "max_epoch": AMOUNT,
    "max_update": AMOUNT,
    "stop_time_hours": AMOUNT,
    "stop_min_lr": ranges.FINITE,
    "clip_norm": AMOUNT,
    "update_freq": COUNT,
    "patience": OFF_OR_AMOUNT,
    "ema_decay": SHARE,
    "ema_start_update": AMOUNT,
    "ema_update_freq": COUNT,
    # validation, log and checkpoints
    "log_interval": COUNT,
    "validate_interval": COUNT,
    "validate_interval_updates": AMOUNT,
    "validate_after_updates": AMOUNT,
    "max_valid_steps": AMOUNT,
    "save_interval": COUNT,
    "save_interval_updates": AMOUNT,
    "keep_interval_updates": OFF_OR_AMOUNT,
    "keep_interval_updates_pattern": OFF_OR_AMOUNT,
    "keep_last_epochs": OFF_OR_AMOUNT,
    "keep_best_checkpoints": OFF_OR_AMOUNT,
    "checkpoint_shard_count": COUNT,
    # optimisers
    "lr": AMOUNT,
    "weight_decay": AMOUNT,
    "momentum": SHARE_BELOW_ONE,
    "adam_betas": BETAS,
    "adam_eps": AMOUNT,
    "adamax_betas": BETAS,
    "adamax_eps": AMOUNT,
    "lamb_betas": BETAS,
    "lamb_eps": AMOUNT,
    "adafactor_eps": Numbers(2, AMOUNT),
    "beta1": SHARE_BELOW_ONE,
    "clip_threshold": POSITIVE,
    "decay_rate": ranges.FINITE,
    "adadelta_rho": SHARE,
    "adadelta_eps": AMOUNT,
    "block_lr": POSITIVE,
    "block_momentum": SHARE_BELOW_ONE,
    "global_sync_iter": COUNT,
    "warmup_iterations": AMOUNT,
    # learning-rate schedules
    "warmup_updates": AMOUNT,
    "warmup_init_lr": OFF_OR_AMOUNT,
    "min_lr": AMOUNT,
    "max_lr": POSITIVE,
    "t_mult": POSITIVE,
    "lr_period_updates": OFF_OR_AMOUNT,
    "lr_shrink": POSITIVE,
    "lr_threshold": AMOUNT,
    "lr_patience": AMOUNT,
    "lr_deacy_period": COUNT,  # so spelled
    "lr_decay": Range(0, 1, above=True),
    "force_anneal": AMOUNT,
    "end_learning_rate": AMOUNT,
    "power": AMOUNT,
    "total_num_update": POSITIVE,
    "warmup_steps": AMOUNT,
    "hold_steps": AMOUNT,
    "decay_steps": AMOUNT,
    "init_lr_scale": AMOUNT,
    "final_lr_scale": POSITIVE,
    "phase_ratio": SHARE,
    # precision
    "fp16_init_scale": COUNT,
    "fp16_scale_window": COUNT,
    "fp16_scale_tolerance": SHARE,
    "min_loss_scale": AMOUNT,
    "threshold_loss_scale": POSITIVE,
    "amp_batch_retries": AMOUNT,
    "amp_init_scale": COUNT,
    "amp_scale_window": COUNT,
    # machines
    "empty_cache_freq": AMOUNT,
    "all_gather_list_size": COUNT,
    "model_parallel_size": COUNT,
    "distributed_world_size": COUNT,
    "distributed_num_procs": COUNT,
    "distributed_rank": AMOUNT,
    "distributed_port": Range(-1, 65_535),
    "device_id": AMOUNT,
    "bucket_cap_mb": COUNT,
    "heartbeat_timeout": OFF_OR_AMOUNT,
    "slowmo_momentum": SHARE_BELOW_ONE,
    "localsgd_frequency": COUNT,
    "nprocs_per_node": COUNT,
    "pipeline_chunks": AMOUNT,
}


def check_schedule(values: dict) -> None:
    """Refuse what a learning-rate schedule cannot be computed from."""
    scheduler = values.get("lr_scheduler")
    if scheduler == "inverse_sqrt" and values.get("warmup_updates") == 0:
        raise InputError(
            "--lr-scheduler inverse_sqrt falls from where the warm-up ends, and --warmup-updates is 0; "
            "remedy: --warmup-updates 4000, or --lr-scheduler fixed"
        )
    if scheduler == "polynomial_decay" and not values.get("total_num_update"):
        raise InputError("--lr-scheduler polynomial_decay needs --total-num-update; remedy: that of --max-update")
    if scheduler == "tri_stage":
        steps = any(values.get(f"{stage}_steps") for stage in ("warmup", "hold", "decay"))
        ratios = values.get("phase_ratio") or ()
        if not (steps or (len(ratios) == 3 and abs(sum(ratios) - 1) < 1e-9)):
            raise InputError(
                "--lr-scheduler tri_stage needs its three stages; remedy: --warmup-steps, --hold-steps and --decay-steps, "
                "or --phase-ratio with three shares whose sum is 1"
            )


@with_flags
def check_ranges(flags: argparse.Namespace) -> None:
    """Refuse numbers that no flag can mean, NaN and infinities in any. Delete when fairseq checks them."""
    values = vars(flags)
    if ours := owners(values):
        own = {name: allowed for owner in ours for name, allowed in ranges.declared_by(owner).items()}
        finite = {name: ranges.FINITE for name, value in values.items() if isinstance(value, float)}
        ranges.check(values, {**finite, **RANGES, **own})
        check_schedule(values)
        if "beam" in values:
            generation_flags.check_flags(flags)
