#!/usr/bin/env bash
# The persona CVAE's GPT-2 alone, without latents and profiles: an ablation that no paper has.
# Variables: DATA RUN ARCH GPT2_PATH FREEZE SEED LR WARMUP BATCH_SIZE UPDATE_FREQ MAX_UPDATE; further flags go to fairseq-train.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task persona_dialogue)

# data        PERSONAS=yes GPT2=... bash scripts/prepare/convai2.sh TRAIN VALIDATION
data=${DATA:-$ROOT/data-bin/convai2_personas}
folder=${RUN:-$ROOT/runs/$(basename "$data")/persona_no_latents}
# model       GPT-2 of 345M, from a folder in the form of transformers; its tables stay as they are, unless FREEZE=no
model=(--arch "${ARCH:-persona_cvae_gpt2}" --no-latents ${GPT2_PATH:+--gpt2-path "$GPT2_PATH" --symbols-from end})
[[ ${FREEZE:-${GPT2_PATH:+yes}} != yes ]] || model+=(--freeze-embeddings)
# loss        of the response alone
loss=(--criterion elbo)
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 25 --lr "${LR:-2.6e-5}" --lr-scheduler polynomial_decay
    --warmup-updates "$(warmup "$folder" 3000 11400 "$@")" --total-num-update "${MAX_UPDATE:-11400}")
# run         five epochs of 73,000 responses, what is kept of ConvAI2's training text if it is like the validation text; 32 at
#             once, whose profiles L_Po-di parts; early end: --patience. The learning rate is nothing at the end: another
#             MAX_UPDATE is another training, with a RUN of its own
budget=(--batch-size "${BATCH_SIZE:-32}" --update-freq "${UPDATE_FREQ:-1}" --max-update "${MAX_UPDATE:-11400}" --patience 3
    --best-checkpoint-metric prior_ppl --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")

train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
