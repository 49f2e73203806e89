#!/usr/bin/env bash
# T-CVAE + speculative sampling, K = 5, + L_Po-di: the methods of Sato et al. (2021) and Cho et al. (2022) together.
# In no paper.
# Variables: those of base_t_cvae.sh, and PODI_WEIGHT.

source "$(dirname "${BASH_SOURCE[0]}")/base_t_cvae.sh"
# loss        the best of 5 latents is trained, and the posteriors of a batch are kept apart
loss=(--criterion speculative_elbo --k 5 --podi-weight "${PODI_WEIGHT:-1}")
train_row "$@"
