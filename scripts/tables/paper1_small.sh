#!/usr/bin/env bash
# The persona CVAE of Cho et al. (2022), its ablations and all their measures, at a size that two processors train in hours:
# a small GPT-2 learns to chat on the packaged chit-chat, then each row goes on from it on ConvAI2 with profiles.
# Stopped and started again, it goes on where it was: rows that are done are kept, others go on from their last checkpoint.
# VECTORS=FILE bash scripts/tables/paper1_small.sh TRAIN [VALIDATION]     texts of ConvAI2, as for scripts/prepare/convai2.sh
# VECTORS=FILE bash scripts/tables/paper1_small.sh                        once they are prepared
# SHOW=1 only shows what there is.
# Variables: VECTORS ROWS JOBS SHOW PAGE (RUNS/results.md) AUTOCAST SWEEP_SEEDS RUNS DATA CHAT SEED EMBED_DIM LAYERS HEADS POSITIONS
# VOCABULARY CHAT_UPDATES CHAT_LR MAX_UPDATE LR BATCH_SIZE
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
parse_arguments 2 "$@"
activate persona_dialogue

runs=${RUNS:-$ROOT/runs/persona_small}
page=${PAGE:-$runs/results.md}
# data        chit-chat in small letters, as ConvAI2 is written, whose subword tokens both share
DATA=${DATA:-$ROOT/data-bin/convai2_small}
chat=${CHAT:-$ROOT/data-bin/chitchat_small}
text=$DATA.text
export SEED=${SEED:-1}
# budget      the same for all rows
MAX_UPDATE=${MAX_UPDATE:-630}
CHAT_UPDATES=${CHAT_UPDATES:-3800}
# model       GPT-2 of 2 million weights beside the word table, without the dropout on attention, which is slow on a CPU
body=(--embed-dim "${EMBED_DIM:-192}" --layers "${LAYERS:-4}" --heads "${HEADS:-4}" --positions "${POSITIONS:-512}"
    --attention-dropout 0)
size=("${body[@]}" --latent-encoder-layers 3 --latent-encoder-heads "${HEADS:-4}" --latent-encoder-ffn-dim "$((4 * ${EMBED_DIM:-192}))")

# heading ROW: its name in the tables.
heading() {
    case $1 in
        no_latents) echo "GPT-2, no latents" ;;
        no_podi) echo "latents, no L_Po-di" ;;
        full) echo "latents and L_Po-di" ;;
        full_scaled) echo "latents and L_Po-di scaled" ;;
        full_released) echo "latents and L_Po-di, released scale" ;;
        hred) echo "HRED" ;;
        dialogpt) echo "DialoGPT" ;;
        transfertransfo) echo "TransferTransfo" ;;
        vhred) echo "VHRED" ;;
        rnn_cvae) echo "CVAE (Zhao et al., 2017)" ;;
        full_best5) echo "latents and L_Po-di, best of 5" ;;
        *) die "ROWS: $1 is no row; remedy: full no_podi no_latents full_scaled full_released full_best5 hred vhred rnn_cvae \
dialogpt transfertransfo" ;;
    esac
}

vectors=${VECTORS:-}
[[ -n $vectors || -n ${SHOW:-} ]] ||
    die "VECTORS is not set; remedy: VECTORS=FILE, word vectors for P.Distance, e.g. GoogleNews-vectors-negative300.bin.gz"
[[ -z $vectors || -f $vectors ]] || die "VECTORS=$vectors: no such file; remedy: a file of word vectors"

select_rows full no_podi no_latents

# few dialogues are all measured, more than 50 by a part of them that is always the same
dialogues() { # sets `part`
    part=()
    [[ -f $text/test.ids ]] || return 0
    (($(cut -d: -f1 "$text/test.ids" | sort -u | wc -l) <= 50)) || part=(--dialogues "$text/test.ids")
}

show() { # scores of what is decoded, then the page, its pictures and its numbers
    local decoded=() responses=() pictures=() scores=() index folder picture kind part
    local beside
    beside=$(dirname "$page")/pictures
    dialogues
    for index in "${!systems[@]}"; do
        folder=$runs/${shown[index]}
        if [[ -s $folder/generate.test.txt ]]; then
            responses+=("$folder/generate.test.txt") decoded+=("${systems[index]}/generate.test.txt")
        fi
        for kind in sweep perception; do
            [[ -f $folder/$kind.png ]] || continue
            picture=$beside/$(basename "${page%.md}")_$(basename "$folder")_$kind.png
            make_folders "$beside"
            cp "$folder/$kind.png" "$picture"
            pictures+=("${systems[index]%="$folder"}=$picture")
        done
    done
    if ((${#decoded[@]})); then
        [[ -z $vectors ]] || make_once "$runs/scores.json" "${responses[@]}" -- fairseq-latent score "${decoded[@]}" \
            --hypothesis mean --reference "$text/test.tgt" --profiles "$text/test.partner" --vectors "$vectors" \
            --train-text "$text/train.tgt" "$text/train.partner" ${part[@]+"${part[@]}"} --format json
        [[ ! -s $runs/scores.json ]] || scores=(--scores "$runs/scores.json")
    fi
    [[ -d $runs || -f ${page%.md}_sweeps.jsonl ]] || return 0
    make_folders "${folders[@]}" # of rows that are not begun
    run fairseq-latent table personas "${systems[@]}" ${scores[@]+"${scores[@]}"} --page "$page" --csv "${page%.md}.csv" \
        --curves "${page%.md}_sweeps.jsonl" \
        ${pictures[@]+--pictures "${pictures[@]}"} >&2
}
if [[ -n ${SHOW:-} ]]; then
    show
    exit 0
fi

# prepared FOLDER NAME VALUE VARIABLE: a folder that is there was prepared with NAME=VALUE, where it notes NAME; VARIABLE chooses it
prepared() {
    local noted
    noted=$(sed -n "s/^$2=//p" "$1/prepare.options" 2>/dev/null) || true
    [[ -z $noted || $noted == "$3" ]] ||
        die "$1 was prepared with another $2; remedy: ${4}=another folder, and RUNS=, or $2 as then (prepare.options there)"
}
if [[ -z ${DRY_RUN:-} ]]; then
    [[ -z ${VOCABULARY:-} ]] || prepared "$chat" VOCABULARY "$VOCABULARY" CHAT
    [[ -f $chat/dict.src.txt ]] ||
        DATA=$chat CLEAN_FLAGS=--lower-case CONTEXT_TURNS=4 MAX_WORDS=60 VOCABULARY=${VOCABULARY:-5000} VALID=0.02 TEST=0.01 \
            run bash "$ROOT/scripts/prepare/chitchat.sh"
    prepared "$DATA" WORD_VECTORS "$(digest <"$vectors")" DATA # faders and P.Distance are by the same
    if (($#)) || [[ ! -f $DATA/dict.src.txt ]]; then
        (($#)) || die "DATA=$DATA is not prepared; remedy: bash scripts/tables/paper1_small.sh TRAIN [VALIDATION] of ConvAI2"
        DATA=$DATA SUBWORDS=$chat PERSONAS=yes WORD_VECTORS=$vectors run bash "$ROOT/scripts/prepare/convai2.sh" "$@"
    fi
fi
export DATA
# precision   bfloat16 in training where the processor is faster with it (AUTOCAST=none: never)
autocast=${AUTOCAST:-$(precision "$runs/precision")}

train_row() { # RUN, named after its row, by its recipe
    local recipe more=() row arch=persona_cvae_gpt2_tiny gpt2=$runs/gpt2 lr=5e-4 shape=("${size[@]}")
    row=$(basename "$1")
    case $row in
        hred | vhred | rnn_cvae) # from nothing: they have no part of a GPT-2
            recipe=$row arch=${row}_small gpt2='' lr=1e-3 shape=() more=(--best-checkpoint-metric prior_ppl)
            ;;
        dialogpt | transfertransfo) # from the same GPT-2
            recipe=$row arch=${row}_tiny shape=("${body[@]}") more=(--best-checkpoint-metric prior_ppl)
            ;;
        no_latents) recipe=no_latents ;;
        no_podi) recipe=no_podi ;;
        full) recipe=full ;;
        full_scaled) recipe=full more=(--podi-form auto) ;;
        full_released) recipe=full more=(--loss-scale released) ;;
        full_best5) recipe=full more=(--k 5) ;;
    esac
    RUN=$1 ARCH=$arch GPT2_PATH=$gpt2 FREEZE=no LR=${LR:-$lr} WARMUP=100 BATCH_SIZE=${BATCH_SIZE:-32} UPDATE_FREQ=1 \
        MAX_UPDATE=$MAX_UPDATE LOG_INTERVAL=$((MAX_UPDATE / 100 > 0 ? MAX_UPDATE / 100 : 1)) \
        bash "$ROOT/scripts/recipes/persona_$recipe.sh" ${shape[@]+"${shape[@]}"} --autocast "$autocast" --num-workers 0 \
        --save-interval-updates 300 --keep-interval-updates 1 ${more[@]+"${more[@]}"}
}

measure_row() { # RUN: responses, latents, and what the latents do
    local checkpoint=$1/checkpoint_best.pt inputs split part seeds
    read -ra seeds <<<"${SWEEP_SEEDS:-1}"
    dialogues
    inputs=("$checkpoint" "$DATA/test.src-tgt.src.idx")
    make_once "$1/generate.test.txt" "${inputs[@]}" -- fairseq-generate "$DATA" "${PLUGIN[@]}" ${DEVICE[@]+"${DEVICE[@]}"} \
        --path "$checkpoint" --gen-subset test --sampling --sampling-topk 4 --sampling-topp 0.8 --beam 1 --latent-samples 3 \
        --max-len-b 40 --batch-size 64 --post-process sentencepiece --seed "$SEED"
    for split in valid test; do
        make_once "$1/latents.$split.json" "${inputs[@]}" -- fairseq-latent latents "$DATA" --path "$checkpoint" \
            --split "$split" --seed "$SEED" --format json ${DEVICE[@]+"${DEVICE[@]}"}
    done
    case $(basename "$1") in # they have no fader, and infer no profile
        no_latents | hred | vhred | rnn_cvae | dialogpt | transfertransfo) return ;;
    esac
    make_once "$1/sweep.json" "${inputs[@]}" "$vectors" -- fairseq-latent sweep "$DATA" --path "$checkpoint" \
        --vectors "$vectors" --train-text "$text/train.tgt" "$text/train.partner" ${part[@]+"${part[@]}"} \
        --seeds "${seeds[@]}" --plot "$1/sweep.png" --format json ${DEVICE[@]+"${DEVICE[@]}"}
    make_once "$1/perception.txt" "${inputs[@]}" -- fairseq-latent plot perception "$DATA" --path "$checkpoint" \
        --out "$1/perception.png" ${DEVICE[@]+"${DEVICE[@]}"}
}

# chit-chat   one epoch of a GPT-2 that all rows start from; trained with other flags than it was: refused
learn_to_chat() {
    DATA=$chat RUN=$runs/chat ARCH=persona_cvae_gpt2_tiny LR=${CHAT_LR:-1e-3} WARMUP=300 BATCH_SIZE=32 \
        MAX_UPDATE=$CHAT_UPDATES LOG_INTERVAL=$((CHAT_UPDATES / 100 > 0 ? CHAT_UPDATES / 100 : 1)) \
        bash "$ROOT/scripts/recipes/persona_no_latents.sh" "${size[@]}" --autocast "$autocast" --num-workers 0 \
        --save-interval-updates 200 --keep-interval-updates 1 --validate-interval-updates 1000
}
become_gpt2=(fairseq-latent convert "$runs/chat/checkpoint_last.pt" "$runs/gpt2" --data "$chat")
if [[ -n ${DRY_RUN:-} ]]; then
    learn_to_chat
    printf '%q ' "${become_gpt2[@]}"
    printf '\n'
    print_trainings train_row "${folders[@]}"
    exit 0
fi
say "learning to chat: $runs/chat"
learn_to_chat || exit 2
[[ ! $runs/chat/checkpoint_last.pt -nt $runs/gpt2/config.json || ! -f $runs/gpt2/config.json ]] ||
    die "$runs/gpt2 is older than $runs/chat, which went on; remedy: RUNS=another folder, or remove $runs/gpt2 and the rows"
[[ -f $runs/gpt2/config.json ]] || run "${become_gpt2[@]}" || exit 2
failed=0
run_all_parallel "training" updates train_row "${folders[@]}"
trained=()
for folder in "${folders[@]}"; do [[ ! -f $folder/done ]] || trained+=("$folder"); done
((!${#trained[@]})) || run_all_parallel "measuring" responses measure_row "${trained[@]}"
show
((!failed)) || die "some rows failed (see above), the page has the others; remedy: correct them and start again"
