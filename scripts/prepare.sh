#!/usr/bin/env bash
# conversations.jsonl -> data-bin/NAME: clean, split by conversation, learn subwords, binarise. Goes on where it stopped.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 2 ]] || die "usage: bash scripts/prepare.sh CONVERSATIONS.jsonl[.gz] DATA_BIN_FOLDER
  variables: VOCABULARY=16000 CONTEXT_TURNS=1 MAX_WORDS=100 VALID=0.05 TEST=0.05 SEED=1 COVERAGE=1.0 SAMPLES=100
  The text in between stays in DATA_BIN_FOLDER.text. To start over, remove both folders."
conversations=$1
destination=${2%/}
text=$destination.text
activate
[[ -f $conversations ]] || die "$conversations: no such file; remedy: a conversations.jsonl (python -m preprocess.check FILE)"
options="VOCABULARY=${VOCABULARY:=16000}
CONTEXT_TURNS=${CONTEXT_TURNS:=1}
MAX_WORDS=${MAX_WORDS:=100}
VALID=${VALID:=0.05}
TEST=${TEST:=0.05}
SEED=${SEED:=1}
COVERAGE=${COVERAGE:=1.0}
SAMPLES=${SAMPLES:=100}
INPUT=$(digest <"$conversations")"

# refuse_others FOLDER FILES...: a folder with any of these files must have been made with the options of now.
refuse_others() {
    local folder=$1 remedy="another DATA_BIN_FOLDER, or remove $destination and $text" file
    shift
    if [[ -f $folder/prepare.options ]]; then
        [[ $(<"$folder/prepare.options") == "$options" ]] ||
            die "$folder was prepared with other options or input, not" \
                "$(grep -vxFf "$folder/prepare.options" <<<"$options" | paste -s -d ' ' -); remedy: $remedy"
        return
    fi
    for file in "$@"; do
        [[ ! -e $file ]] || die "$folder does not say how it was prepared (no prepare.options); remedy: $remedy"
    done
}

refuse_others "$destination" "$destination"/*
mkdir -p "$text"
exec 9>"$text/lock"
if command -v flock >/dev/null && ! flock -n 9; then
    say "another process prepares $destination: waiting for it"
    flock 9
fi
refuse_others "$text" "$text/clean.jsonl" "$text/train.src" "$text/spm"
printf '%s\n' "$options" >"$text/prepare.options"
if [[ -f $destination/prepare.options ]]; then
    say "$destination is prepared"
    exit 0
fi
[[ -f $text/clean.jsonl ]] ||
    run python -m preprocess.clean "$conversations" --out "$text/clean.jsonl" --max-words "$MAX_WORDS"
[[ -f $text/split.json ]] ||
    run python -m preprocess.split "$text/clean.jsonl" --out "$text" --seed "$SEED" \
        --context-turns "$CONTEXT_TURNS" --valid "$VALID" --test "$TEST"
[[ -f $text/spm/dict.txt ]] ||
    run python -m preprocess.subwords "$text" --vocab-size "$VOCABULARY" --seed "$SEED" --character-coverage "$COVERAGE"
for side in src tgt; do # a few test contexts, for which reports show several responses
    head -n "$SAMPLES" "$text/spm/test.$side" >"$text/spm/samples.$side"
done
rm -rf "$text/data-bin.part"
run fairseq-preprocess --source-lang src --target-lang tgt --joined-dictionary --srcdict "$text/spm/dict.txt" \
    --trainpref "$text/spm/train" --validpref "$text/spm/valid" --testpref "$text/spm/test,$text/spm/samples" \
    --destdir "$text/data-bin.part" --workers "$(cores)" >"$text/fairseq-preprocess.log" 2>&1 ||
    die "fairseq-preprocess failed: $(tail -n 1 "$text/fairseq-preprocess.log")"
cp "$text/spm/spm.model" "$text/prepare.options" "$text/data-bin.part/"
[[ ! -d $destination ]] || rmdir "$destination" # empty, or it was refused above
mv "$text/data-bin.part" "$destination"
say "$(grep -c '' "$text/train.src") training pairs -> $destination"
