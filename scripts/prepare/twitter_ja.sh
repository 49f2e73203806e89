#!/usr/bin/env bash
# bash scripts/prepare/twitter_ja.sh ARCHIVE...: Japanese tweets as in Sato et al. (2021) -> data-bin/twitter_ja.
# FROM=2017-01-01 TEST_FROM=2019-01-01 UNTIL=2020-01-01: train and valid before TEST_FROM, test from then on; where it is
# empty, by conversation with SEED. REFERENCES=3: test has the contexts with so many responses and keeps them all; where
# it is empty, all contexts. MEMORY=8GB: of the joins. READ_FLAGS: e.g. --bots FILE, --remove-emoji.
# PERSONAS=yes: with profiles out of what each user says in other conversations -> data-bin/twitter_ja_personas; then split by
# conversation, VALID=0.01 TEST=0.01, in place of the years and the references.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
# text        normalised by neologdn, segmented by MeCab with ipadic; rare characters get no subword token
export COVERAGE=${COVERAGE:-0.9995}
# personas    the rule for self-centred responses is an English one
if [[ ${PERSONAS:-no} == yes ]]; then export PERSONA_FLAGS="--filter none ${PERSONA_FLAGS:-}"; fi
prepare_tweets ja --japanese "$@"
