#!/usr/bin/env bash
# bash scripts/prepare/twitter_en.sh ARCHIVE...: English tweets as in Sato et al. (2021) -> data-bin/twitter_en.
# FROM=2017-01-01 TEST_FROM=2019-01-01 UNTIL=2020-01-01: train and valid before TEST_FROM, test from then on; where it is
# empty, by conversation with SEED. REFERENCES=3: test has the contexts with so many responses and keeps them all; where
# it is empty, all contexts. MEMORY=8GB: of the joins. READ_FLAGS: e.g. --bots FILE, --remove-emoji.
# PERSONAS=yes: with profiles out of what each user says in other conversations -> data-bin/twitter_en_personas; then split by
# conversation, VALID=0.01 TEST=0.01, in place of the years and the references.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
prepare_tweets en '' "$@"
