#!/usr/bin/env bash
# bash scripts/prepare/convai2.sh TRAIN VALIDATION: PERSONA-CHAT as ConvAI2 released it, English -> data-bin/convai2.
# Test is the official validation set, since the hidden one was never released; valid are VALID=250 conversations of train.
# TRAIN alone: all by conversation with SEED. An archive alone: the two texts in it of the form FORM=both_original_no_cands.
# PERSONAS=yes: with the profiles of both, of the form both -> data-bin/convai2_personas; with TRAIN alone VALID=100 TEST=100.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 2 "ConvAI2's archive, or a text of it, e.g. train_both_original_no_cands.txt; ParlAI, task convai2, has them" "$@"
activate

# data        conversations that the training file shows from both sides are one
goes_to convai2
form=${FORM:-both_original_no_cands} conversations=train
if [[ -d $1 || $1 =~ \.(zip|t[gx]z|tbz2|tar(\.[a-z0-9]*)?)$ ]]; then
    (($# == 1)) || die "$1 is an archive, $2 one too many; remedy: the archive alone, or two texts"
    conversations train "$1" -- convai2 --text "train_$form.txt"
    conversations validation "$1" -- convai2 --text "valid_$form.txt"
elif (($# == 2)); then
    conversations train "$1" -- convai2
    conversations validation "$2" -- convai2
else
    conversations=conversations
    conversations conversations "$1" -- convai2
fi
# split       the paper's 500 episodes of train are 250 conversations, each from both sides
if [[ $conversations == train ]]; then export VALID=${VALID:-250} TEST=${TEST:-$text/validation.jsonl}; fi
# personas    of the 1,000 conversations of the official validation text alone: 800, 100 and 100
if [[ ${PERSONAS:-no} == yes ]]; then export VALID=${VALID:-100} TEST=${TEST:-100}; fi
# subwords
export VOCABULARY=${VOCABULARY:-8000}

prepare "$conversations"
