#!/usr/bin/env bash
# bash scripts/prepare/dailydialog.sh data.zip: DailyDialog (Li et al., 2017), English -> data-bin/dailydialog.
# OFFICIAL=1: with its official split, unless VALID or TEST say otherwise; 0: by conversation with SEED.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "data.zip of DailyDialog in ConvLab-3's form, which Hugging Face has as data set ConvLab/dailydialog" "$@"
activate

# data        the splits as they were published, unless they are not wanted
goes_to dailydialog
official_split "$1" dailydialog validation
# subwords
export VOCABULARY=${VOCABULARY:-8000}

prepare "$conversations"
