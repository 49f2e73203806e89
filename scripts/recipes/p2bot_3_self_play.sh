#!/usr/bin/env bash
# P²BOT, stage 3 of 3: self-play, in which the transmitter learns to speak so that its persona is perceived (Liu et al., 2020).
# Needs the finished stages TRANSMITTER and RECEIVER, folders of their recipes, and a language model as it is, REWARD_LM.
# Variables: those of base_persona.sh, GPT2_PATH and ARCH those of stage 1; without REWARD_LM the language is not judged.

# data        as of stage 1: personas and first messages are sampled from its training set
task=self_play
source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
transmitter=${TRANSMITTER:-$runs/p2bot_1_transmitter} receiver=${RECEIVER:-$runs/p2bot_2_receiver}
for stage in "p2bot_1_transmitter.sh $transmitter" "p2bot_2_receiver.sh $receiver"; do
    read -r script made <<<"$stage"
    [[ -n ${DRY_RUN:-} || (-f $made/done && -f $made/checkpoint_best.pt) ]] ||
        die "$made is not trained to its end; remedy: RUN=$made bash scripts/recipes/$script"
done
# model       of the size of stage 1, whose weights it starts from
model=(--arch "${ARCH:-p2bot_transmitter_small}" ${GPT2_PATH:+--gpt2-path "$GPT2_PATH"}
    --finetune-from-model "$transmitter/checkpoint_best.pt")
# loss        REINFORCE; coherence, persona, language and repetition weigh .1, .5, .5 and -.1, as in the authors' code
loss=(--criterion self_play --transmitter "$transmitter/checkpoint_best.pt" --receiver "$receiver/checkpoint_best.pt"
    --rollouts 6 --self-play-turns 3 --coherence-reward 0.1 --persona-reward 0.5 --repetition-reward -0.1)
if [[ -n ${REWARD_LM:-} ]]; then loss+=(--reward-lm "$REWARD_LM" --lm-reward 0.5); else loss+=(--lm-reward 0); fi
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --weight-decay 0.01 --clip-norm 1 --lr "${LR:-1e-6}" --lr-scheduler fixed)
# run         2,000 episodes; a tenth of the updates learns from six right replies. The best F1 counts, of replies with a beam of 2
budget=(--batch-size "${BATCH_SIZE:-6}" --max-update "${MAX_UPDATE:-2000}" --patience 10
    --validate-interval-updates 100 --save-interval-updates 100 --keep-interval-updates 1 --max-valid-steps 100 --p2bot-search
    --best-checkpoint-metric f1 --maximize-best-checkpoint-metric --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")
train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "$@"
