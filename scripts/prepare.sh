#!/usr/bin/env bash
# conversations.jsonl -> data-bin/NAME: clean, split by conversation, learn subwords, binarise. Goes on where it stopped.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 2 ]] || die "usage: bash scripts/prepare.sh CONVERSATIONS.jsonl DATA_BIN_FOLDER
  variables: VOCABULARY=16000 CONTEXT_TURNS=1 MAX_WORDS=100 VALID=0.05 TEST=0.05 SEED=1 COVERAGE=1.0 SAMPLES=100"
conversations=$1
destination=$2
activate
[[ -f $conversations ]] || die "$conversations: no such file; remedy: a conversations.jsonl (python -m preprocess.check FILE)"
if [[ -f $destination/dict.src.txt ]]; then
    say "$destination is prepared"
    exit 0
fi
text=$destination.text
mkdir -p "$text"
[[ -f $text/clean.jsonl ]] ||
    run python -m preprocess.clean "$conversations" --out "$text/clean.jsonl" --max-words "${MAX_WORDS:-100}"
[[ -f $text/split.json ]] ||
    run python -m preprocess.split "$text/clean.jsonl" --out "$text" --seed "${SEED:-1}" \
        --context-turns "${CONTEXT_TURNS:-1}" --valid "${VALID:-0.05}" --test "${TEST:-0.05}"
[[ -f $text/spm/test.tgt ]] ||
    run python -m preprocess.subwords "$text" --vocab-size "${VOCABULARY:-16000}" --seed "${SEED:-1}" \
        --character-coverage "${COVERAGE:-1.0}"
for side in src tgt; do # a few test contexts, for which reports show several responses
    head -n "${SAMPLES:-100}" "$text/spm/test.$side" >"$text/spm/samples.$side"
done
rm -rf "$destination.part"
run fairseq-preprocess --source-lang src --target-lang tgt --joined-dictionary --srcdict "$text/spm/dict.txt" \
    --trainpref "$text/spm/train" --validpref "$text/spm/valid" --testpref "$text/spm/test,$text/spm/samples" \
    --destdir "$destination.part" --workers "$(cores)" >"$text/fairseq-preprocess.log" 2>&1 ||
    die "fairseq-preprocess failed: $(tail -n 1 "$text/fairseq-preprocess.log")"
cp "$text/spm/spm.model" "$destination.part/"
mv "$destination.part" "$destination"
say "$(grep -c '' "$text/train.src") training pairs -> $destination"
