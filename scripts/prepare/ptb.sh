#!/usr/bin/env bash
# bash scripts/prepare/ptb.sh FILE_OR_DIR: the Penn Treebank as Mikolov split it, English, for --task text_vae -> data-bin/ptb.
# Any folder or archive with a train, a valid and a test file, a sentence per line, will do. MIN_COUNT=2: words that train has
# less often are read as <unk>.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/read.sh"
archives 1 "Mikolov's ptb.train.txt, ptb.valid.txt and ptb.test.txt, in an archive or folder" "$@"
activate
goes_to ptb

options="MIN_COUNT=${MIN_COUNT:=0}
INPUT=$(fingerprint "$1")"
remedy="another DATA, or remove $data and $text"
make_folders "$text"
lock "$text/lock" wait "another process prepares $data"
if [[ -f $data/prepare.options ]]; then
    [[ $(<"$data/prepare.options") == "$options" ]] ||
        die "$data was prepared with other options or input; remedy: $remedy"
    say "$data is prepared"
    exit 0
fi
[[ ! -d $data || -z $(ls -A "$data") ]] || die "$data does not say how it was prepared (no prepare.options); remedy: $remedy"
# text        a sentence per line, the counts looked at
read -ra flags <<<"${READ_FLAGS:-}"
run python -m preprocess.corpora ptb "$1" --out "$text" --min-count "$MIN_COUNT" ${flags[@]+"${flags[@]}"}
# ids         words as they are; the text's own <unk> is the dictionary's
rm -rf "$text/data-bin.part" "$text/fairseq-preprocess.log"
logged "$text/fairseq-preprocess.log" fairseq-preprocess --only-source --trainpref "$text/train.txt" \
    --validpref "$text/valid.txt" --testpref "$text/test.txt" \
    --thresholdsrc "$MIN_COUNT" --destdir "$text/data-bin.part" --workers "$(cores)"
write_atomically "$text/data-bin.part/prepare.options" printf '%s\n' "$options"
[[ ! -d $data ]] || attempt "$data" rmdir "$data"
attempt "$data" mv "$text/data-bin.part" "$data"
say "$(grep -c '' "$text/train.txt") sentences for training, $(grep -vc '^madeupword' "$data/dict.txt") words -> $data"
