#!/usr/bin/env bash
# TransferTransfo, which reads its own profile and chooses among candidates (Wolf et al., 2019): Cho et al. (2022), Table 1.
# PPL, Distinct-1, Distinct-2, P.Distance reported: 18.011 .142 .400 .329; of its authors PPL, Hits@1, F1: 17.51 82.1 19.09.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       GPT-2 of 345M, from a folder in the form of transformers; its tables are trained, unless FREEZE=yes
model=(--arch "${ARCH:-transfertransfo}" --max-history 2 ${GPT2_PATH:+--gpt2-path "$GPT2_PATH"})
[[ ${FREEZE:-no} != yes ]] || model+=(--freeze-embeddings)
# loss        of the right reply twice, and of choosing it among four; each persona in two orders
loss=(--criterion double_heads --lm-weight 2 --choice-weight 1 --candidates 4 --persona-permutations 2)
# optimiser   the learning rate falls from the first update on
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --adam-eps 1e-6 --clip-norm 1 --lr "${LR:-6.25e-5}"
    --lr-scheduler polynomial_decay --total-num-update "${MAX_UPDATE:-2280}")
# run         one epoch of twice 73,000 responses, 64 in an update; the learning rate is nothing at the end: another MAX_UPDATE is
#             another training, with a RUN of its own
train_row 16 4 2280 3 rec_ppl "$@"
