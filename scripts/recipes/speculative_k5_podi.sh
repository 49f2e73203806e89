#!/usr/bin/env bash
# T-CVAE + speculative sampling, K = 5, + L_Po-di: the methods of Sato et al. (2021) and Cho et al. (2022) together.
# In no paper.
# Variables: DATA RUN ARCH SEED LR WARMUP MAX_TOKENS UPDATE_FREQ MAX_UPDATE VECTORS PODI_WEIGHT; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate

# data        any folder made by fairseq-preprocess --joined-dictionary -s src -t tgt
data=${DATA:-$ROOT/data-bin/twitter_en}
folder=${RUN:-$ROOT/runs/$(basename "$data")/speculative_k5_podi}
# model       Transformer-base, word vectors where there are any
model=(--arch "${ARCH:-t_cvae}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        the best of 5 latents is trained, and the posteriors of a batch are kept apart
loss=(--criterion speculative_elbo --k 5 --podi-weight "${PODI_WEIGHT:-1}" --label-smoothing 0.1)
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --clip-norm 25
    --lr "${LR:-1e-3}" --lr-scheduler inverse_sqrt --warmup-init-lr 1e-7
    --warmup-updates "$(warmup "$folder" 4000 250000 "$@")" --stop-min-lr 1e-9)
# run         about 27,000 tokens an update
budget=(--max-tokens "${MAX_TOKENS:-3360}" --update-freq "${UPDATE_FREQ:-8}" --max-update "${MAX_UPDATE:-250000}"
    --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
