#!/usr/bin/env bash
# T-CVAE + cyclical annealing (Fu et al., 2019): Sato et al. (2021), Tables 1 and 2.
# BLEU, dist-1, dist-2, KLD reported: English .68 .72 3.68 .09, Japanese 2.73 1.19 4.24 .09.
# Variables: DATA RUN ARCH SEED LR WARMUP MAX_TOKENS UPDATE_FREQ MAX_UPDATE VECTORS; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate

# data        any folder made by fairseq-preprocess --joined-dictionary -s src -t tgt
data=${DATA:-$ROOT/data-bin/twitter_en}
folder=${RUN:-$ROOT/runs/$(basename "$data")/cyclical}
# model       Transformer-base, word vectors where there are any
model=(--arch "${ARCH:-t_cvae}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        one cycle an epoch, its first half rising
loss=(--criterion elbo --kl-schedule cyclical --kl-cycle epoch --label-smoothing 0.1)
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --clip-norm 25
    --lr "${LR:-1e-3}" --lr-scheduler inverse_sqrt --warmup-init-lr 1e-7
    --warmup-updates "$(warmup "$folder" 4000 250000 "$@")" --stop-min-lr 1e-9)
# run         about 27,000 tokens an update
budget=(--max-tokens "${MAX_TOKENS:-3360}" --update-freq "${UPDATE_FREQ:-8}" --max-update "${MAX_UPDATE:-250000}"
    --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
