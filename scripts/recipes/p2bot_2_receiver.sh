#!/usr/bin/env bash
# P²BOT, stage 2 of 3: the receiver, which tells by what somebody says which profile is theirs (Liu et al., 2020).
# The authors' logs: Hits@1 of 32 profiles about 93.8 on ConvAI2's validation set, with BERT-base.
# Variables: those of base_persona.sh, and ENCODER_PATH.

# data        as of stage 1: all that a speaker says in a dialogue, their profile, and one of sampled sentences
task=persona_receiver
source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       a BERT from a folder, e.g. fairseq-latent weights minilm FOLDER; fresh without ENCODER_PATH
model=(--arch "${ARCH:-p2bot_receiver}" ${ENCODER_PATH:+--encoder-path "$ENCODER_PATH"})
# loss        margin .5, and .01 of the mean of |score|; attention sharper with every 5,000 examples
loss=(--criterion receiver_margin --margin 0.5 --sparsity-weight 0.01 --persona-sets 2 --valid-persona-sets 32)
# optimiser   a tenth of the learning rate after five validations without gain, which the authors' code does to the loss
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --weight-decay 1e-5 --clip-norm 1 --lr "${LR:-6.25e-6}"
    --lr-scheduler reduce_lr_on_plateau --lr-patience 5 --lr-shrink 0.1)
# run         two speakers at once, 50 epochs of 17,878; it ends after 15 without gain
budget=(--batch-size "${BATCH_SIZE:-2}" --update-freq "${UPDATE_FREQ:-1}" --max-epoch 50 --max-update "${MAX_UPDATE:-450000}"
    --patience 15 --best-checkpoint-metric hits1 --maximize-best-checkpoint-metric --seed "${SEED:-0}")
train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
