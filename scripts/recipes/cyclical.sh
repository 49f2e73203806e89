#!/usr/bin/env bash
# T-CVAE + cyclical annealing (Fu et al., 2019): Sato et al. (2021), Tables 1 and 2.
# BLEU, dist-1, dist-2, KLD reported: English .68 .72 3.68 .09, Japanese 2.73 1.19 4.24 .09.

source "$(dirname "${BASH_SOURCE[0]}")/base_t_cvae.sh"
# loss        one cycle an epoch, its first half rising
loss=(--criterion elbo --kl-schedule cyclical --kl-cycle epoch)
train_row "$@"
