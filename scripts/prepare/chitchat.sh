#!/usr/bin/env bash
# bash scripts/prepare/chitchat.sh: the Chit-Chat Challenge of BYU, English, as the package chitchat-dataset (MIT) has it
# -> data-bin/chitchat, of the sizes that scripts/tables/paper2.sh takes. Split by conversation with SEED.
# PERSONAS=yes: with profiles out of what each speaker says of himself in other conversations -> data-bin/chitchat_personas.
# READ_FLAGS="--dataset FILE": another dataset.json than the package's.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
(($# == 0)) || die "$1: no file is needed; remedy: bash scripts/prepare/chitchat.sh"
activate

# data        the whole package, a turn and its answer
goes_to chitchat
conversations conversations -- chitchat
if [[ ${PERSONAS:-no} == no ]]; then
    # text        short turns, for a small model
    export MAX_WORDS=${MAX_WORDS:-25} CONTEXT_TURNS=${CONTEXT_TURNS:-1}
    # split       by conversation
    export VALID=${VALID:-0.03} TEST=${TEST:-0.05}
else
    # personas    the corpus has no profiles, but speakers who come again
    export SELF_DESCRIPTIONS=${SELF_DESCRIPTIONS:-yes} VALID=${VALID:-0.05} TEST=${TEST:-0.1}
fi
# subwords
export VOCABULARY=${VOCABULARY:-4000}

prepare conversations
