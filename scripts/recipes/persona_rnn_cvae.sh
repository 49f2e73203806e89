#!/usr/bin/env bash
# The CVAE of Zhao et al. (2017), which sees no profile, without dialogue acts: Cho et al. (2022), Table 1, "CVAE".
# PPL, Distinct-1, Distinct-2, P.Distance reported: 19.501 .116 .405 .258.
# Variables: DATA RUN ARCH VECTORS SEED LR BATCH_SIZE UPDATE_FREQ MAX_UPDATE KL_WARMUP; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task persona_dialogue)

# data        PERSONAS=yes GPT2=... bash scripts/prepare/convai2.sh TRAIN VALIDATION; of its profiles this model reads none
data=${DATA:-$ROOT/data-bin/convai2_personas}
folder=${RUN:-$ROOT/runs/$(basename "$data")/persona_rnn_cvae}
# model       embeddings of 200, GRUs of 300, 600 and 400, 200 latent dimensions; word vectors where there are any
model=(--arch "${ARCH:-rnn_cvae}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        the KL weight rises from 0 to 1 once, and context and latent also predict the response's tokens
loss=(--criterion elbo --kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 10000 146000 "$@")" --kl-first-update 1
    --bow-weight 1 --bow-target tokens --bow-hidden-dim 400)
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 5 --lr "${LR:-1e-3}" --lr-scheduler fixed)
# run         60 epochs of 73,000 responses, 30 at once; the lowest NLL + KL on the validation set; early end: --patience
budget=(--batch-size "${BATCH_SIZE:-30}" --update-freq "${UPDATE_FREQ:-1}" --max-update "${MAX_UPDATE:-146000}" --patience 10
    --best-checkpoint-metric elbo_ppl --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
