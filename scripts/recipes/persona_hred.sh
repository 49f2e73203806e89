#!/usr/bin/env bash
# HRED, which sees no profile (Serban et al., 2016; the sizes of Park et al., 2018): Cho et al. (2022), Table 1.
# PPL, Distinct-1, Distinct-2, P.Distance reported: 21.095 .078 .225 .246.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       embeddings of 500, GRUs of 1,000 over words, turns and the response; word vectors where there are any
model=(--arch "${ARCH:-hred}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        of the response alone, in place of all turns after the first
loss=(--criterion elbo)
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 1 --lr "${LR:-1e-4}" --lr-scheduler fixed)
# run         30 epochs of 73,000 responses, 80 at once; early end: --patience
train_row 80 1 27400 3 rec_ppl "$@"
