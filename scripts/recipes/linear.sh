#!/usr/bin/env bash
# T-CVAE + linear annealing of the KL weight (Bowman et al., 2016).
# In neither table of Sato et al. (2021).
# Variables: those of base_t_cvae.sh, and KL_WARMUP.

source "$(dirname "${BASH_SOURCE[0]}")/base_t_cvae.sh"
# loss        the KL weight rises from 0 to 1 once
loss=(--criterion elbo --kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 10000 250000 "$@")")
train_row "$@"
