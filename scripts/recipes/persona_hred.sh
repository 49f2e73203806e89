#!/usr/bin/env bash
# HRED, which sees no profile (Serban et al., 2016; the sizes of Park et al., 2018): Cho et al. (2022), Table 1.
# PPL, Distinct-1, Distinct-2, P.Distance reported: 21.095 .078 .225 .246.
# Variables: DATA RUN ARCH VECTORS SEED LR BATCH_SIZE UPDATE_FREQ MAX_UPDATE; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task persona_dialogue)

# data        PERSONAS=yes GPT2=... bash scripts/prepare/convai2.sh TRAIN VALIDATION; of its profiles this model reads none
data=${DATA:-$ROOT/data-bin/convai2_personas}
folder=${RUN:-$ROOT/runs/$(basename "$data")/persona_hred}
# model       embeddings of 500, GRUs of 1,000 over words, turns and the response; word vectors where there are any
model=(--arch "${ARCH:-hred}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        of the response alone, in place of all turns after the first
loss=(--criterion elbo)
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 1 --lr "${LR:-1e-4}" --lr-scheduler fixed)
# run         30 epochs of 73,000 responses, 80 at once; early end: --patience
budget=(--batch-size "${BATCH_SIZE:-80}" --update-freq "${UPDATE_FREQ:-1}" --max-update "${MAX_UPDATE:-27400}" --patience 3
    --best-checkpoint-metric rec_ppl --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
