#!/usr/bin/env bash
# The persona CVAE: perception and fader, with L_Po-di: Cho et al. (2022), Table 1, "Ours".
# PPL, Distinct-1, Distinct-2, P.Distance reported: 15.671 .167 .538 .401.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# loss        the ELBO and L_Po-di, lambda .15, over each dimension, as released
loss=(--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim)
train_persona_cvae "$@"
