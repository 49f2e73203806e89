#!/usr/bin/env bash
# VHRED, HRED with a latent per response, which sees no profile (Serban et al., 2017; the sizes of Park et al., 2018).
# The paper has no such row.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       HRED, and 100 latent dimensions; word vectors where there are any
model=(--arch "${ARCH:-vhred}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        the KL weight rises from 0 to 1 once
loss=(--criterion elbo --kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 25000 27400 "$@")")
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 1 --lr "${LR:-1e-4}" --lr-scheduler fixed)
# run         30 epochs of 73,000 responses, 80 at once; early end: --patience
train_row 80 1 27400 10 elbo_ppl "$@"
