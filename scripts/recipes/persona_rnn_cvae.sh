#!/usr/bin/env bash
# The CVAE of Zhao et al. (2017), which sees no profile, without dialogue acts: Cho et al. (2022), Table 1, "CVAE".
# PPL, Distinct-1, Distinct-2, P.Distance reported: 19.501 .116 .405 .258.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       embeddings of 200, GRUs of 300, 600 and 400, 200 latent dimensions; word vectors where there are any
model=(--arch "${ARCH:-rnn_cvae}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
# loss        the KL weight rises from 0 to 1 once, and context and latent also predict the response's tokens
loss=(--criterion elbo --kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 10000 146000 "$@")" --kl-first-update 1
    --bow-weight 1 --bow-target tokens --bow-hidden-dim 400)
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 5 --lr "${LR:-1e-3}" --lr-scheduler fixed)
# run         60 epochs of 73,000 responses, 30 at once; the lowest NLL + KL on the validation set; early end: --patience
train_row 30 1 146000 10 elbo_ppl "$@"
