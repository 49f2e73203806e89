#!/usr/bin/env bash
# bash scripts/prepare/synthetic_persona_chat.sh ARCHIVE: Synthetic-Persona-Chat (Jandaghi et al., 2023), machine-written
# English -> data-bin/synthetic_persona_chat.
# OFFICIAL=1: with its official split, unless VALID or TEST say otherwise; 0: all there is, by conversation with SEED.
# PERSONAS=yes: with the profiles of both -> data-bin/synthetic_persona_chat_personas.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "an archive or folder of the .csv files that GitHub has as google-research-datasets/Synthetic-Persona-Chat" "$@"
activate

# data        the sides as they were published, unless they are not wanted
goes_to synthetic_persona_chat
if [[ ${OFFICIAL:-1} == 1 ]]; then
    for split in train valid test; do
        conversations "$split" "$1" -- synthetic_persona_chat --split "$split"
    done
    conversations=train
    export VALID=${VALID:-$text/valid.jsonl} TEST=${TEST:-$text/test.jsonl}
else
    conversations=conversations
    conversations conversations "$1" -- synthetic_persona_chat
fi
# subwords
export VOCABULARY=${VOCABULARY:-8000}

prepare "$conversations"
