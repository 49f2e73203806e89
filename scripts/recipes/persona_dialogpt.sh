#!/usr/bin/env bash
# DialoGPT, which sees no profile (Zhang et al., 2020): Cho et al. (2022), Table 1.
# PPL, Distinct-1, Distinct-2, P.Distance reported: 14.966 .139 .417 .359, from the weights of DialoGPT (GPT2_PATH).

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       GPT-2 of 345M, from a folder in the form of transformers; its tables are trained, unless FREEZE=yes
model=(--arch "${ARCH:-dialogpt}" ${GPT2_PATH:+--gpt2-path "$GPT2_PATH" --symbols-from end})
[[ ${FREEZE:-no} != yes ]] || model+=(--freeze-embeddings)
# loss        of all turns after the first one; validation of the response alone
loss=(--criterion elbo --loss-on all-turns)
# optimiser   the authors' noam schedule, base * 1e4 * (width * warm-up)^-.5 at its peak: 4.94e-5 of 1e-5, 1,024 and 4,000
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 1 --lr "${LR:-4.94e-5}"
    --lr-scheduler inverse_sqrt --warmup-init-lr 0 --warmup-updates "$(warmup "$folder" 4000 11400 "$@")")
# run         at most five epochs of 73,000 responses, 32 at once; early end: --patience
train_row 32 1 11400 3 rec_ppl "$@"
