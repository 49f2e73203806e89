#!/usr/bin/env bash
# bash scripts/prepare/lccc.sh LCCC-base-split: conversations of Chinese social media (Wang et al., 2020) -> data-bin/lccc.
# A folder with LCCC-base_train.json, LCCC-base_valid.json and LCCC-base_test.json: these splits. One file, such as LCCC-large.json:
# by conversation with SEED. Each is a list of conversations, a conversation a list of texts.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "the folder or a .json of LCCC, which GitHub has as thu-coai/CDial-GPT" "$@"
activate

# data
goes_to lccc
chains=(-- json --turns @)
if [[ -d $1 ]]; then
    conversations=train
    for split in train valid test; do
        files=("$1"/*"$split".json*)
        [[ ${#files[@]} -eq 1 && -f ${files[0]} ]] ||
            die "$1 has no one file *$split.json; remedy: a folder with one for train, valid and test each, or one file"
        conversations "$split" "${files[0]}" "${chains[@]}"
    done
    export VALID=${VALID:-$text/valid.jsonl} TEST=${TEST:-$text/test.jsonl}
else
    conversations=conversations
    conversations conversations "$1" "${chains[@]}"
fi
# text        words were segmented by spaces; here each character is a word
export CLEAN_FLAGS="--chinese ${CLEAN_FLAGS:-}"
# subwords    rare characters get no subword token
export VOCABULARY=${VOCABULARY:-16000} COVERAGE=${COVERAGE:-0.9995}

prepare "$conversations"
