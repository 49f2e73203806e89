#!/usr/bin/env bash
# T-CVAE + bag-of-words loss (Zhao et al., 2017): Sato et al. (2021), Tables 1 and 2.
# BLEU, dist-1, dist-2, KLD reported: English .30 1.58 10.99 24.04, Japanese 1.97 1.56 8.74 24.07.

source "$(dirname "${BASH_SOURCE[0]}")/base_t_cvae.sh"
# loss        the latent alone also predicts the response's words
loss=(--criterion bow_elbo)
train_row "$@"
