#!/usr/bin/env bash
# The persona CVAE's GPT-2 alone, without latents and profiles: an ablation that no paper has.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
further=(--no-latents ${GPT2_PATH:+--symbols-from end})
# loss        of the response alone
loss=(--criterion elbo)
train_persona_cvae "$@"
