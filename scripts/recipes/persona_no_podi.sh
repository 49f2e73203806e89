#!/usr/bin/env bash
# The persona CVAE without L_Po-di, an ablation of Cho et al. (2022).
# The paper has no such row.

source "$(dirname "${BASH_SOURCE[0]}")/base_persona.sh"
# loss        the ELBO alone
loss=(--criterion elbo)
train_persona_cvae "$@"
