#!/usr/bin/env bash
# The rows of Sato et al. (2021), Tables 1 and 2, and what mixes with them, trained with one budget on one data set, then
# decoded, measured and reported beside the paper's. Stopped and started again, it goes on where it was, row by row.
# Variables: DATA RUNS ROWS JOBS, those of scripts/recipes/*.sh and of scripts/evaluate.sh.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
parse_arguments 0 "$@"
activate

heading() { # the row's name in the table
    case $1 in
        t_cvae) echo "T-CVAE" ;;
        linear) echo "+ linear annealing" ;;
        cyclical) echo "+ cyclical annealing" ;;
        spacefusion) echo "SpaceFusion" ;;
        bow) echo "+ bag of words" ;;
        mc) echo "+ Monte Carlo, K=5" ;;
        speculative_k5_podi) echo "+ speculative, K=5, + L_Po-di" ;;
        speculative_k*) echo "+ speculative, K=${1#speculative_k}" ;;
        *)
            [[ -f $ROOT/scripts/recipes/$1.sh ]] || die "ROWS: $1 is no recipe; remedy: names from scripts/recipes"
            echo "$1"
            ;;
    esac
}

runs=${RUNS:-$ROOT/runs/paper2}
select_rows t_cvae linear cyclical spacefusion bow mc speculative_k2 speculative_k5 speculative_k10 speculative_k20 \
    speculative_k40 speculative_k5_podi
systems=() # those of ROWS alone
for row in "${rows[@]}"; do systems+=("$(heading "$row")=$runs/$row"); done

export SEED=${SEED:-1}
# data        packaged chit-chat, a turn and its answer, unless DATA names a folder of fairseq-preprocess
make_folders "$runs"
if [[ -z ${DATA:-} ]]; then
    export DATA=$ROOT/data-bin/chitchat MAX_WORDS=${MAX_WORDS:-25} CONTEXT_TURNS=${CONTEXT_TURNS:-1}
    export VOCABULARY=${VOCABULARY:-4000} VALID=${VALID:-0.03} TEST=${TEST:-0.05}
    [[ -f $runs/conversations.jsonl ]] || run python -m preprocess.corpora chitchat --out "$runs/conversations.jsonl"
    run bash "$ROOT/scripts/prepare.sh" "$runs/conversations.jsonl" "$DATA"
fi
[[ -f $DATA/dict.src.txt ]] || die "DATA=$DATA is no folder of fairseq-preprocess; remedy: bash scripts/prepare.sh, or no DATA"
export DATA
# budget      the same for all rows: 1,200 updates of a small model
export MAX_UPDATE=${MAX_UPDATE:-1200} MAX_TOKENS=${MAX_TOKENS:-1500} UPDATE_FREQ=${UPDATE_FREQ:-1}
export LR=${LR:-2e-3} WARMUP=${WARMUP:-200} KL_WARMUP=${KL_WARMUP:-600}
export MAX_LENGTH=${MAX_LENGTH:-30} SAMPLES=${SAMPLES:-100} IMPORTANCE_SAMPLES=${IMPORTANCE_SAMPLES:-20}
case ${SIZE:=small} in base) size= ;; small | tiny) size=_$SIZE ;; *) die "SIZE=$SIZE is unknown; remedy: tiny, small or base" ;; esac
# precision   bfloat16 in training and in ranking latents where the processor is faster with it (AUTOCAST=none: never)
autocast=${AUTOCAST:-$(precision "$runs/precision")}

train_row() { # RUN, named after its recipe
    local recipe flags=(--autocast "$autocast") arch=t_cvae
    recipe=$(basename "$1")
    [[ $autocast == none || $recipe != speculative* ]] || flags+=(--selection-dtype bfloat16)
    if [[ $recipe == spacefusion ]]; then arch=t_spacefusion; fi
    local every=$((MAX_UPDATE / 8 > 0 ? MAX_UPDATE / 8 : 1))
    ARCH=$arch$size RUN=$1 LOG_INTERVAL=$((MAX_UPDATE / 100 > 0 ? MAX_UPDATE / 100 : 1)) \
        bash "$ROOT/scripts/recipes/$recipe.sh" "${flags[@]}" --validate-interval-updates "$every" \
        --save-interval-updates "$every" --keep-interval-updates 1
}

failed=0
run_all_parallel "training" updates train_row "${folders[@]}"
[[ -z ${DRY_RUN:-} ]] || exit "$failed"
TITLE=${TITLE:-"Latent-variable dialogue models, one budget"} \
    bash "$ROOT/scripts/evaluate.sh" "$DATA" "$runs/report" "${systems[@]}"
((!failed)) || die "some rows failed (see above), the report has the others; remedy: correct them and start again"
