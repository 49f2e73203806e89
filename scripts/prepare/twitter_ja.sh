#!/usr/bin/env bash
# bash scripts/prepare/twitter_ja.sh ARCHIVE...: Japanese tweets as in Sato et al. (2021) -> data-bin/twitter_ja.
# FROM=2017-01-01 TEST_FROM=2019-01-01 UNTIL=2020-01-01: train and valid before TEST_FROM, test from then on; where it is
# empty, by conversation with SEED. REFERENCES=3: test has the contexts with so many responses and keeps them all; where
# it is empty, all contexts. MEMORY=8GB: of the joins. READ_FLAGS: e.g. --bots FILE, --remove-emoji.
# PERSONAS=yes: with profiles out of what each user says in other conversations -> data-bin/twitter_ja_personas; then split by
# conversation, VALID=0.01 TEST=0.01, in place of the years and the references.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1000000 "tweets of your own, in files or folders: JSON lines of the API v1.1 or v2, or tab-separated daily files; \
they may not be passed on, so nobody publishes them" "$@"
activate

goes_to twitter_ja
# split       years; 1 % of the earlier ones is valid
split_of_tweets
# data        reply chains of two people; tweets are cleaned as they are read, to 2 to 256 words,
#             normalised by neologdn, words parted by MeCab with ipadic
resources=(${MEMORY:+--memory "$MEMORY"})
export MAX_WORDS=${MAX_WORDS:-256} CLEAN_FLAGS=${CLEAN_FLAGS:-none}
conversations conversations "$@" -- tweets --clean --lang ja --japanese --min-words "${MIN_WORDS:-2}" --max-words "$MAX_WORDS"
# personas    the rule for self-centred responses is an English one
if [[ ${PERSONAS:-no} == yes ]]; then export PERSONA_FLAGS="--filter none ${PERSONA_FLAGS:-}"; fi
# subwords    16,000 of a million sentences, and their vectors
export VOCABULARY=${VOCABULARY:-16000} COVERAGE=${COVERAGE:-0.9995} VECTOR_DIMENSION=${VECTOR_DIMENSION-512}

prepare conversations
