#!/usr/bin/env bash
# The persona CVAE on any language model, its latents where its states stay in range (docs/persona.md, "Slots"): no paper's row.
# Nothing is reported for it.
# Variables: those of base_persona.sh, LM_PATH TRAIN_BLOCKS PROFILE_OF=partner|own|none.

# data        PERSONAS=yes GPT2=... bash scripts/prepare/chitchat.sh, or any other corpus
corpus=chitchat_personas suffix=_${PROFILE_OF:-partner}
source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# model       a language model from a folder in the form of transformers, its words frozen, the top TRAIN_BLOCKS trained; the
#             latents stand where nothing else gets all attention, and are as long as what they are mixed into
model=(--arch "${ARCH:-persona_cvae_gpt2}" ${LM_PATH:+--lm-path "$LM_PATH" --freeze-embeddings --symbols-from end})
[[ -z ${TRAIN_BLOCKS:-} ]] || model+=(--train-blocks "$TRAIN_BLOCKS")
# latents     of whose profile: the partner's, the speaker's own (a control with something to send), or none at all
case ${PROFILE_OF:-partner} in
    none) model+=(--no-latents) ;;
    partner | own) model+=(--profile-of "${PROFILE_OF:-partner}" --latents-at after_bos --inject-scale state) ;;
    *) die "PROFILE_OF=$PROFILE_OF is unknown; remedy: partner, own or none" ;;
esac
# loss        the ELBO, its KL weight rising in the first half
loss=(--criterion elbo)
[[ ${PROFILE_OF:-partner} == none ]] || loss+=(--kl-schedule linear --kl-warmup "$(kl_warmup "$folder" 3000 6000 "$@")")
# optimiser
optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 25 --lr "${LR:-2e-4}" --lr-scheduler polynomial_decay
    --warmup-updates "$(warmup "$folder" 600 6000 "$@")" --total-num-update "${MAX_UPDATE:-6000}")
# run         the learning rate is nothing at the end: another MAX_UPDATE is another training, with a RUN of its own
train_row 8 1 6000 '' prior_ppl "$@"
