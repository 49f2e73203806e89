#!/usr/bin/env bash
# Table 3 and Figure 7 of Cho et al. (2022): remedies against posterior collapse, each alone on one GRU sentence VAE, trained
# with one budget on the Penn Treebank, measured, and shown beside the paper's. Stopped and started again, it goes on where it
# was: rows that are done are kept, others go on from their last checkpoint. Finished rows are shown whenever it starts or ends;
# rows that the page has from other RUNS stay on it, and must have had the same number of updates and the same test set.
# bash scripts/tables/paper1_table3.sh [FILE_OR_DIR of the Penn Treebank, until it is prepared]
# SHOW=1 only shows what there is.
# Variables: ROWS JOBS SHOW PAGE AUTOCAST IMPORTANCE_SAMPLES, and those after which the page is RUNS/results.md, not that of the
# documents: RUNS DATA MAX_UPDATE ARCH LATENT_DIM SEED LR BATCH_SIZE KL_WARMUP KL_CYCLE (a quarter of MAX_UPDATE) AGGRESSIVE_UPDATES
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
parse_arguments 1 "$@"
activate text_vae

all=(standard kla ca at bow podi_0.12 podi_0.15 podi_0.18 podi_0.21 podi_literal_0.12 podi_literal_0.15 podi_auto_0.15 best5
    best5_podi_0.15)
runs=${RUNS:-$ROOT/runs/ptb}
choose_page "$runs" "$ROOT/docs/results_ptb.md" MAX_UPDATE ARCH LATENT_DIM SEED LR BATCH_SIZE KL_WARMUP KL_CYCLE AGGRESSIVE_UPDATES
export DATA=${DATA:-$ROOT/data-bin/ptb}
# budget      the same for all rows: eight epochs of the Penn Treebank
MAX_UPDATE=${MAX_UPDATE:-5272}
# precision   bfloat16 in training and in ranking latents where the processor is faster with it (AUTOCAST=none: never)
autocast=${AUTOCAST:-$(precision "$runs/precision")}
low=()
[[ $autocast == none ]] || low=(--selection-dtype "$autocast")

# heading ROW: its name in the table; that of a row which the paper has is the paper's.
heading() {
    local lambda=${1##*_0}
    case $1 in
        standard) echo "Standard" ;;
        kla) echo "+ KL annealing" ;;
        ca) echo "+ cyclical annealing" ;;
        at) echo "+ aggressive training" ;;
        bow) echo "+ bag of words" ;;
        best5) echo "+ best of 5" ;;
        best5_podi_0.*) echo "+ best of 5 + L_Po-di, λ = $lambda" ;;
        podi_literal_0.*) echo "+ L_Po-di as printed, λ = $lambda" ;;
        podi_auto_0.*) echo "+ L_Po-di scaled, λ = $lambda" ;;
        podi_0.*) echo "+ L_Po-di, λ = $lambda" ;;
        *) die "ROWS: $1 is no row; remedy: standard kla ca at bow podi_0.15 podi_literal_0.15 podi_auto_0.15 best5 best5_podi_0.15" ;;
    esac
}

# loss_of ROW: sets `loss`, the flags in which the rows differ.
loss_of() {
    local lambda=${1##*_}
    case $1 in
        standard) loss=(--criterion elbo) ;;
        kla) loss=(--criterion elbo --kl-schedule linear --kl-warmup "${KL_WARMUP:-5000}") ;;
        # four cycles, the weight rising in the first half of each
        ca) loss=(--criterion elbo --kl-schedule cyclical --kl-cycle "${KL_CYCLE:-$((MAX_UPDATE / 4 + 1))}") ;;
        # each of these updates takes 40 of the encoder: without a limit, one row would take as long as all others together
        at) loss=(--criterion elbo --aggressive --aggressive-updates "${AGGRESSIVE_UPDATES:-1000}" --save-interval-updates 50
            --keep-interval-updates 1) ;;
        bow) loss=(--criterion bow_elbo --bow-target tokens --bow-hidden-dim 400) ;;
        best5) loss=(--criterion speculative_elbo --k 5 ${low[@]+"${low[@]}"}) ;;
        best5_podi_*) loss=(--criterion speculative_elbo --k 5 ${low[@]+"${low[@]}"} --podi-weight 1 --podi-target "$lambda") ;;
        podi_literal_*) loss=(--criterion podi_elbo --podi-form literal --podi-target "$lambda") ;;
        podi_auto_*) loss=(--criterion podi_elbo --podi-form auto --podi-target "$lambda") ;;
        podi_*) loss=(--criterion podi_elbo --podi-form per_dim --podi-target "$lambda") ;;
    esac
}

train_row() { # RUN, named after its row: train, then measure what takes seconds
    local loss split
    loss_of "$(basename "$1")"
    LOG_INTERVAL=$((MAX_UPDATE / 200 > 0 ? MAX_UPDATE / 200 : 1)) train "$DATA" "$1" \
        --arch "${ARCH:-gru_vae_small}" ${LATENT_DIM:+--latent-dim "$LATENT_DIM"} "${loss[@]}" --autocast "$autocast" \
        --optimizer adam --lr "${LR:-1e-3}" --clip-norm 5 \
        --batch-size "${BATCH_SIZE:-64}" --max-update "$MAX_UPDATE" --seed "${SEED:-1}" --num-workers 0
    [[ -z ${DRY_RUN:-} ]] || return 0
    for split in test valid; do measure "$1" "latents.$split.json" "$split"; done
}

weight_row() { # RUN: the importance-weighted perplexity, which takes long
    [[ ! -f $1/done ]] || measure "$1" latents.test.iw.json test \
        --importance-samples "${IMPORTANCE_SAMPLES:-500}" --importance-dtype "${autocast/none/float32}"
}

measure() { # RUN FILE SPLIT FLAGS...
    local checkpoint=$1/checkpoint_last.pt
    make_once "$1/$2" "$checkpoint" -- fairseq-latent latents "$DATA" --path "$checkpoint" --split "$3" --seed "${SEED:-1}" \
        --format json "${@:4}" ${DEVICE[@]+"${DEVICE[@]}"}
}

show() { # the rows as far as they are, and those that the page had before: page, numbers, curves, picture
    local picture
    picture=$(dirname "$page")/pictures/$(basename "${page%.md}")_kl.png
    make_folders "${folders[@]}" # of rows that are not begun
    run fairseq-latent table sentences "${systems[@]}" --page "$page" --picture "$picture" --csv "${page%.md}.csv" \
        --curves "${page%.md}_kl.csv" --updates "$MAX_UPDATE" >&2 || exit 2
}

select_rows "${all[@]}"
if [[ ! -f $DATA/dict.txt ]]; then
    [[ -n ${1:-} ]] || die "DATA=$DATA is not prepared; remedy: bash scripts/tables/paper1_table3.sh FILE_OR_DIR of the Penn Treebank"
    run bash "$ROOT/scripts/prepare/ptb.sh" "$1" || exit 2
fi

[[ " ${rows[*]} " != *" kla "* ]] || ((${KL_WARMUP:-5000} < MAX_UPDATE)) ||
    say "kla: its weight would be 1 after ${KL_WARMUP:-5000} updates, more than MAX_UPDATE; another: KL_WARMUP=$((MAX_UPDATE / 2))"
if [[ -n ${DRY_RUN:-} ]]; then
    print_trainings train_row "${folders[@]}"
    exit 0
fi
show
[[ -z ${SHOW:-} ]] || exit 0
failed=0
run_all_parallel "training" updates train_row "${folders[@]}"
show
if [[ ${IMPORTANCE_SAMPLES:-500} != 0 ]]; then
    run_all_parallel "importance weights" importance weight_row "${folders[@]}"
    show
fi
((!failed)) || die "some rows failed (see above), the page has the others; remedy: correct them and start again"
