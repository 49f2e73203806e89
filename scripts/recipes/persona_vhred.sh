#!/usr/bin/env bash
# VHRED, HRED with a latent per response, which sees no profile (Serban et al., 2017; the sizes of Park et al., 2018).
# The paper has no such row.
# Variables: DATA RUN ARCH VECTORS SEED LR BATCH_SIZE UPDATE_FREQ MAX_UPDATE KL_WARMUP; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task persona_dialogue)

# data        PERSONAS=yes GPT2=... bash scripts/prepare/convai2.sh TRAIN VALIDATION; of its profiles this model reads none
data=${DATA:-$ROOT/data-bin/convai2_personas}
folder=${RUN:-$ROOT/runs/$(basename "$data")/persona_vhred}
# model       HRED, and 100 latent dimensions; word vectors where there are any
model=(--arch "${ARCH:-vhred}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        the KL weight rises from 0 to 1 once
loss=(--criterion elbo --kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 25000 27400 "$@")")
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 1 --lr "${LR:-1e-4}" --lr-scheduler fixed)
# run         30 epochs of 73,000 responses, 80 at once; early end: --patience
budget=(--batch-size "${BATCH_SIZE:-80}" --update-freq "${UPDATE_FREQ:-1}" --max-update "${MAX_UPDATE:-27400}" --patience 10
    --best-checkpoint-metric elbo_ppl --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
