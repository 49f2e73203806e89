#!/usr/bin/env bash
# Decode, measure and compare trained runs: evaluate.sh DATA REPORT_FOLDER NAME=RUN [NAME=RUN ...]. Goes on where it stopped.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -ge 3 ]] || die "usage: bash scripts/evaluate.sh DATA REPORT_FOLDER NAME=RUN [NAME=RUN ...]
  Trainings that differ in their seed alone are one system of the report, as are those of NAME=RUN,RUN,...
  NAME=FILE.jsonl: responses of a system that was not trained here, joined by order or by IDS=DATA.text/test.ids
  variables: SCORE_LANGUAGE=en|ja|zh|none BEAM=5 LENPEN=1.2 MAX_LENGTH=60 LATENT_SAMPLES=5 BATCH_SIZE=64 SEED=1 TITLE=...
             (trainings on data with personas decode as Cho et al., 2022: words sampled from the 4 best within .8 of probability)
             IMPORTANCE_SAMPLES=0 (latents per sentence for the importance-weighted perplexity; slow)
             PRIOR_SAMPLES=3 (latents per context for the perplexity under the prior)
             PRECISION=none (bfloat16: of the matrix products of decoding and of the measures of latents)
             TASK=dialogue (of runs that no recipe made; the others note it)
             SAMPLES=100 (contexts with several responses, where DATA has no split test1)
             VECTORS=FILE (of trainings on data with personas: word vectors, for P.Distance and for a fixed fader)
             SWEEP_STEPS=10 SWEEP_SEEDS=1 TEST_RESPONSES=3 (of the same: faders, seeds, and responses per context of test)
             ENCODER=FOLDER (a sentence encoder, fairseq-latent weights minilm FOLDER: whether responses are near their contexts)
             CANDIDATES=20 (replies of other dialogues that the right one is ranked among, where DATA has no candidates; not
             set: no ranking)
             REFERENCE=DATA.text/test.tgt (the responses of test; where the text that prepare.sh made is gone, what
             fairseq-generate repeats of DATA, with <<unk>> for what the dictionary lacks)
  What another checkpoint, data set or variable made is made again."
data=${1%/}
report=$2
shift 2
check_language "${SCORE_LANGUAGE:-en}"
activate

references=()
if [[ -n ${REFERENCE:-} ]]; then
    [[ -f $REFERENCE ]] || die "REFERENCE=$REFERENCE: no such file; remedy: the responses of test, one per line"
    references=(--reference "$REFERENCE")
elif [[ -f $data.text/test.tgt ]] && cmp -s "$data/prepare.options" "$data.text/prepare.options"; then
    references=(--reference "$data.text/test.tgt")
fi

[[ -z ${VECTORS:-} || -f $VECTORS ]] || die "VECTORS=$VECTORS: no such file; remedy: a file of word vectors"
train_text=()
[[ ! -f $data.text/train.tgt || ! -f $data.text/train.partner ]] ||
    train_text=(--train-text "$data.text/train.tgt" "$data.text/train.partner")

[[ ${PRECISION:-none} =~ ^(none|bfloat16)$ ]] || die "PRECISION=$PRECISION; remedy: none or bfloat16"
measured_in=(--autocast "${PRECISION:-none}") decoded_in=(--decoding-autocast "${PRECISION:-none}")
[[ ${PRECISION:-none} != none ]] || measured_in=() decoded_in=()

# task_of RUN: that of its training, by whose rules it decodes.
task_of() {
    local noted
    noted=$(grep -o -- '--task [a-z_]*' "$1/checkpoint_best.pt.command" 2>/dev/null | tail -n 1 | cut -d' ' -f2) || true
    printf '%s' "${TASK:-${noted:-dialogue}}"
}

# of_personas RUN: it was trained on data with personas.
of_personas() { [[ $(task_of "$1") =~ ^(persona_dialogue|self_play)$ ]]; }

# of_sentences RUN: an autoencoder of sentences, which answers nothing.
of_sentences() { [[ $(task_of "$1") == text_vae ]]; }

# has_fader RUN: it infers personas, as its command says.
has_fader() {
    local noted=$1/checkpoint_best.pt.command
    grep -q -- '--arch persona_cvae' "$noted" 2>/dev/null && ! grep -q -- '--no-latents' "$noted"
}

# subwords    they are joined; GPT-2's tokens become text by the tokenizer in the data folder
joined=(--post-process sentencepiece)
for file in encoder.json vocab.json tokenizer.json spiece.model; do [[ ! -f $data/$file ]] || joined=(); done

# decode_and_measure RUN: everything the report reads of one run.
decode_and_measure() {
    local folder=$1 inputs split seeds
    read -ra seeds <<<"${SWEEP_SEEDS:-1}"
    if of_sentences "$folder"; then
        inputs=("$folder/checkpoint_best.pt" "$data/dict.txt" "$data/test.idx")
    else
        inputs=("$folder/checkpoint_best.pt" "$data/dict.src.txt" "$data/test.src-tgt.src.idx")
        decode "$folder" "${inputs[@]}"
    fi
    for split in valid test; do
        make_once "$folder/latents.$split.json" "${inputs[@]}" -- fairseq-latent latents "$data" \
            --path "$folder/checkpoint_best.pt" --split "$split" --seed "${SEED:-1}" --format json \
            --importance-samples "${IMPORTANCE_SAMPLES:-0}" --prior-samples "${PRIOR_SAMPLES:-3}" \
            ${measured_in[@]+"${measured_in[@]}"} \
            ${DEVICE[@]+"${DEVICE[@]}"}
    done
    [[ -z ${CANDIDATES:-} ]] || of_sentences "$folder" || make_once "$folder/rank.test.json" "${inputs[@]}" -- \
        fairseq-latent rank "$data" "$folder/checkpoint_best.pt" --candidates "$CANDIDATES" --seed "${SEED:-1}" \
        --format json ${DEVICE[@]+"${DEVICE[@]}"}
    has_fader "$folder" || return 0
    [[ -z ${VECTORS:-} ]] || make_once "$folder/sweep.json" "${inputs[@]}" "$VECTORS" -- fairseq-latent sweep "$data" \
        --path "$folder/checkpoint_best.pt" --vectors "$VECTORS" ${train_text[@]+"${train_text[@]}"} \
        --steps "${SWEEP_STEPS:-10}" --seeds "${seeds[@]}" --batch-size "${BATCH_SIZE:-64}" --lang "${SCORE_LANGUAGE:-en}" \
        ${measured_in[@]+"${measured_in[@]}"} --format json ${DEVICE[@]+"${DEVICE[@]}"}
    make_once "$folder/perception.txt" "${inputs[@]}" -- fairseq-latent plot perception "$data" \
        --path "$folder/checkpoint_best.pt" --out "$folder/perception.png" ${DEVICE[@]+"${DEVICE[@]}"}
}

# decode RUN INPUTS...: responses to the test set, and several ones to its first contexts.
decode() {
    local folder=$1 options responses=()
    shift
    options=("${PLUGIN[@]}" --task "$(task_of "$folder")" ${DEVICE[@]+"${DEVICE[@]}"} --path "$folder/checkpoint_best.pt"
        --max-len-b "${MAX_LENGTH:-60}" --batch-size "${BATCH_SIZE:-64}" ${joined[@]+"${joined[@]}"} --seed "${SEED:-1}"
        ${decoded_in[@]+"${decoded_in[@]}"})
    if of_personas "$folder"; then
        options+=(--beam 1 --sampling --sampling-topk 4 --sampling-topp 0.8)
        responses=(--latent-samples "${TEST_RESPONSES:-3}")
    else
        options+=(--beam "${BEAM:-5}" --lenpen "${LENPEN:-1.2}")
    fi
    make_once "$folder/generate.test.txt" "$@" -- fairseq-generate "$data" "${options[@]}" --gen-subset test \
        ${responses[@]+"${responses[@]}"}
    make_once "$folder/samples.test1.txt" "$@" -- fairseq-generate "$samples" "${options[@]}" --gen-subset test1 \
        --latent-samples "${LATENT_SAMPLES:-5}"
}

trained=$(python -m fairseq_latent.evaluation.runs.trained_runs "$@") || exit 2
folders=() answering=() alike=() # runs, each once; systems with their responses, those of several seeds behind commas
before=""
while IFS=$'\t' read -r system folder; do
    answers=$folder
    if [[ -d $folder ]]; then
        answers=$folder/generate.test.txt
        [[ $'\n'$(printf '%s\n' ${folders[@]+"${folders[@]}"})$'\n' == *$'\n'"$folder"$'\n'* ]] || folders+=("$folder")
        ! of_sentences "$folder" || continue
    else
        alike=(--equal-length)
    fi
    if [[ ${#answering[@]} -gt 0 && $system == "$before" ]]; then
        answering[${#answering[@]} - 1]+=",$answers"
    else
        answering+=("$system=$answers")
    fi
    before=$system
done <<<"$trained"

samples=$data # prepare.sh makes its split test1; a folder of plain fairseq-preprocess has none
if ((${#answering[@]})) && [[ ! -f $data/test1.src-tgt.src.idx ]]; then
    samples=$report/first${SAMPLES:-100}
    make_folders "$report"
    (
        lock "$report/measure.lock" wait "another process measures $report"
        [[ ! $samples/dict.src.txt -nt $data/test.src-tgt.src.idx ]] || exit 0
        rm -rf "$samples" "$samples.part"
        run python -m fairseq_latent.data.first_lines "$data" "${SAMPLES:-100}" "$samples.part" || exit 2
        attempt "$samples" mv "$samples.part" "$samples"
    ) || exit 2
fi

run_parallel "decoding" responses decode_and_measure "${folders[@]}"
measures=() profiles=() # of trainings on data with personas
for folder in "${folders[@]}"; do
    of_personas "$folder" || continue
    measures=(--hypothesis mean)
    [[ ! -f $data.text/test.partner ]] || profiles=(--profiles "$data.text/test.partner")
    break
done
if [[ -n ${VECTORS:-} && ${#profiles[@]} -gt 0 ]]; then
    profiles+=(--vectors "$VECTORS" ${train_text[@]+"${train_text[@]}"})
    measures+=("${profiles[@]}")
fi
[[ -z ${ENCODER:-} ]] || measures+=(--encoder "$ENCODER")
make_folders "$report"
scores=()
if ((${#answering[@]})); then
    scores=(--scores "$report/scores.json")
    run fairseq-latent score "${answering[@]}" --lang "${SCORE_LANGUAGE:-en}" --json-out "$report/scores.json" \
        ${references[@]+"${references[@]}"} ${measures[@]+"${measures[@]}"} ${alike[@]+"${alike[@]}"} ${IDS:+--ids "$IDS"}
fi
run fairseq-latent report "$@" --out "$report" --data "$data" --lang "${SCORE_LANGUAGE:-en}" ${TITLE:+--title "$TITLE"} \
    ${scores[@]+"${scores[@]}"} ${references[@]+"${references[@]}"} ${profiles[@]+"${profiles[@]}"} ${IDS:+--ids "$IDS"}
say "report: $report/report.html and $report/report.md"
