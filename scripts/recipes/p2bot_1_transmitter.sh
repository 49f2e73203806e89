#!/usr/bin/env bash
# P²BOT, stage 1 of 3: the transmitter, a language model with its own persona and a head for the next utterance (Liu et al., 2020).
# Reported by Cho et al. (2022), Table 1, after all stages: PPL, Distinct-1, Distinct-2, P.Distance 16.620 .083 .268 .370.

# data        PERSONAS=yes GPT2=... PERSONA_FLAGS='--min-turns 1 --min-response-words 1 --filter none'
#             bash scripts/prepare/convai2.sh TRAIN VALIDATION; candidates are those of the corpus, or replies of other dialogues
source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       of the size of GPT, the authors' body; any language model from a folder in the form of transformers
model=(--arch "${ARCH:-p2bot_transmitter_small}" ${GPT2_PATH:+--gpt2-path "$GPT2_PATH"})
# loss        .6 of the reply's, smoothed, and .4 of the next utterance's, against one other reply, sampled anew each epoch
loss=(--criterion double_heads --lm-weight 0.6 --choice-weight 0.4 --label-smoothing 0.05 --candidates 2)
# optimiser   Adam with decoupled weight decay; the authors train the head with 1e-4
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --weight-decay 0.01 --clip-norm 1 --lr "${LR:-6.25e-5}"
    --lr-scheduler polynomial_decay --warmup-updates "$(warmup "$folder" 78 39247 "$@")"
    --total-num-update "${MAX_UPDATE:-39247}")
# run         three epochs of 130,824 examples; the authors' fourth has a learning rate of 0
train_row 10 1 39247 '' rec_ppl "$@"
