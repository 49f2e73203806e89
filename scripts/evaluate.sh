#!/usr/bin/env bash
# Decode, measure and compare trained runs: evaluate.sh DATA REPORT_FOLDER NAME=RUN [NAME=RUN ...]. Goes on where it stopped.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 3 ]] || die "usage: bash scripts/evaluate.sh DATA REPORT_FOLDER NAME=RUN [NAME=RUN ...]
  variables: LANGUAGE=en|ja|none BEAM=5 LENPEN=1.2 MAX_LENGTH=60 LATENT_SAMPLES=5 BATCH_SIZE=64 SEED=1 TITLE=..."
data=$1
report=$2
shift 2
activate

# decode_and_measure RUN: everything the report reads of one run.
decode_and_measure() {
    local folder=$1 generate
    generate=(fairseq-generate "$data" "${PLUGIN[@]}" "${DEVICE[@]}" --path "$folder/checkpoint_best.pt"
        --beam "${BEAM:-5}" --lenpen "${LENPEN:-1.2}" --max-len-b "${MAX_LENGTH:-60}" --batch-size "${BATCH_SIZE:-64}"
        --post-process sentencepiece --seed "${SEED:-1}")
    whole "$folder/generate.test.txt" "${generate[@]}" --gen-subset test
    whole "$folder/samples.test1.txt" "${generate[@]}" --gen-subset test1 --latent-samples "${LATENT_SAMPLES:-5}"
    for split in valid test; do
        whole "$folder/latents.$split.json" fairseq-latent latents "$data" --path "$folder/checkpoint_best.pt" \
            --split "$split" --seed "${SEED:-1}" --format json "${DEVICE[@]}"
    done
}

folders=()
for system in "$@"; do
    [[ $system == *=* ]] || die "$system is not NAME=RUN; remedy: e.g. T-CVAE=runs/twitter_en/t_cvae"
    [[ -f ${system##*=}/checkpoint_best.pt ]] || die "${system##*=}/checkpoint_best.pt: no such checkpoint; remedy: train it"
    folders+=("${system##*=}")
done
in_parallel "decoding" "lines_decoded" decode_and_measure "${folders[@]}"
fairseq-latent score "${@/%//generate.test.txt}" --lang "${LANGUAGE:-en}"
run fairseq-latent report --out "$report" --data "$data" --lang "${LANGUAGE:-en}" ${TITLE:+--title "$TITLE"} "$@"
say "report: $report/report.html and $report/report.md"
