#!/usr/bin/env bash
# SPACEFUSION (Gao et al., 2019) on the same Transformer: Sato et al. (2021), Tables 1 and 2.
# BLEU, dist-1, dist-2 reported: English .76 .60 2.87, Japanese 2.86 1.50 4.74.

source "$(dirname "${BASH_SOURCE[0]}")/base_t_cvae.sh"
arch=t_spacefusion
# loss        three decodings and the fusion regulariser
loss=(--criterion spacefusion)
train_row "$@"
