#!/usr/bin/env bash
# bash scripts/prepare/open2ch.sh ranking.zip: chains of replies on a board (Inaba, 2019), Japanese -> data-bin/open2ch.
# One archive: by conversation with SEED; of corpus.zip, READ_FLAGS=--unlabelled. Both, corpus.zip ranking.zip: train is
# the first, valid and test are the real chains of dev and test of the second.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 2 "ranking.zip or corpus.zip of the open2ch corpus, which GitHub has as 1never/open2ch-dialogue-corpus" "$@"
activate

# data        ranking.zip alone is small: 4,000 chains
goes_to open2ch
if (($# == 2)); then
    conversations=train
    conversations dev "$2" -- open2ch --split dev # in the other order, this is refused before anything is written
    conversations test "$2" -- open2ch --split test
    conversations train "$1" -- open2ch --unlabelled
    export VALID=${VALID:-$text/dev.jsonl} TEST=${TEST:-$text/test.jsonl}
else
    conversations=conversations
    conversations conversations "$1" -- open2ch
fi
# text        normalised by neologdn, segmented by MeCab with ipadic
export CLEAN_FLAGS="--japanese ${CLEAN_FLAGS:-}"
# subwords    rare characters get no subword token
export VOCABULARY=${VOCABULARY:-16000} COVERAGE=${COVERAGE:-0.9995}

prepare "$conversations"
