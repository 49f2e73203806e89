#!/usr/bin/env bash
# bash scripts/prepare/dailydialog.sh data.zip: DailyDialog (Li et al., 2017), English -> data-bin/dailydialog.
# OFFICIAL=1: with its official split, unless VALID or TEST say otherwise; 0: by conversation with SEED.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "data.zip of DailyDialog in ConvLab-3's form, which Hugging Face has as data set ConvLab/dailydialog" "$@"
[[ ${OFFICIAL:=1} == [01] ]] || die "OFFICIAL=$OFFICIAL is neither 0 nor 1; remedy: 0 for a split by conversation"
activate

# data        the sides as they were published, unless they are not wanted
goes_to dailydialog
if [[ $OFFICIAL == 1 ]]; then
    for split in train validation test; do
        conversations "$split" "$1" -- dailydialog --split "$split"
    done
    conversations=train
    export VALID=${VALID:-$text/validation.jsonl} TEST=${TEST:-$text/test.jsonl}
else
    conversations=conversations
    conversations conversations "$1" -- dailydialog
fi
# subwords
export VOCABULARY=${VOCABULARY:-8000}

prepare "$conversations"
