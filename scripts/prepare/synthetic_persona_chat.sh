#!/usr/bin/env bash
# bash scripts/prepare/synthetic_persona_chat.sh ARCHIVE: Synthetic-Persona-Chat (Jandaghi et al., 2023), machine-written
# English -> data-bin/synthetic_persona_chat.
# OFFICIAL=1: with its official split, unless VALID or TEST say otherwise; 0: all there is, by conversation with SEED.
# PERSONAS=yes: with the profiles of both -> data-bin/synthetic_persona_chat_personas.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "an archive or folder of the .csv files that GitHub has as google-research-datasets/Synthetic-Persona-Chat" "$@"
activate

# data        the splits as they were published, unless they are not wanted
goes_to synthetic_persona_chat
official_split "$1" synthetic_persona_chat valid
# subwords
export VOCABULARY=${VOCABULARY:-8000}

prepare "$conversations"
