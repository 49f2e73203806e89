#!/usr/bin/env bash
# bash scripts/prepare/realpersonachat.sh ARCHIVE: RealPersonaChat (Yamashita et al., 2023), Japanese
# -> data-bin/realpersonachat. Split by conversation with SEED; so that nobody speaks in two splits, which needs few
# conversations in valid and test: SPLIT_FLAGS=--disjoint-speakers VALID=10 TEST=10.
# PERSONAS=yes: with the profiles of both -> data-bin/realpersonachat_personas; PERSONA_FLAGS=--disjoint-profiles then.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "the archive of RealPersonaChat, or its folder, which GitHub has as nu-dialogue/real-persona-chat" "$@"
activate

# data        all conversations
goes_to realpersonachat
conversations conversations "$1" -- realpersonachat
# text        normalised by neologdn, segmented by MeCab with ipadic
export CLEAN_FLAGS="--japanese ${CLEAN_FLAGS:-}"
# personas    the rule for self-centred responses is an English one
if [[ ${PERSONAS:-no} == yes ]]; then export PERSONA_FLAGS="--filter none ${PERSONA_FLAGS:-}"; fi
# subwords    rare characters get no subword token
export VOCABULARY=${VOCABULARY:-16000} COVERAGE=${COVERAGE:-0.9995}

prepare conversations
