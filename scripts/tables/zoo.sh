#!/usr/bin/env bash
# Remedies against posterior collapse at equal KL: each at several strengths on one small model with one budget, on the Penn
# Treebank (a GRU sentence VAE) or on the packaged chit-chat (a T-CVAE). Rows are trained one after the other; each that is
# measured is added to the CSV beside the page, and is not trained again, even where its run folder is gone.
# bash scripts/tables/zoo.sh ptb [FILE_OR_DIR of the Penn Treebank, until it is prepared]
# bash scripts/tables/zoo.sh chitchat
# SHOW=1 only renders the page from the CSV.
# Variables: ROWS SHOW PAGE AUTOCAST, and those after which the page is RUNS/results.md, not that of the documents: RUNS DATA
# MAX_UPDATE SEED LR BATCH_SIZE IMPORTANCE_SAMPLES
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
parse_arguments 2 "$@"
set_name=${1:-}
case $set_name in
    ptb) activate text_vae ;;
    chitchat) activate dialogue ;;
    *) die "zoo.sh ${set_name:-without a data set}; remedy: bash scripts/tables/zoo.sh ptb, or chitchat" ;;
esac

runs=${RUNS:-$ROOT/runs/zoo_$set_name}
choose_page "$runs" "$ROOT/docs/results_zoo.md" MAX_UPDATE SEED LR BATCH_SIZE IMPORTANCE_SAMPLES
export DATA=${DATA:-$ROOT/data-bin/$set_name} SEED=${SEED:-1}
# rows        the middle strength of each remedy first, so that a page that is not finished compares all of them
all=(standard beta_0.5 best_5 podi_0.1 scaledpodi_0.15 norm_0.5 scale_4 point_2 importance_5 mmd_100 total_2 dimension_0.1
    sample_2 pretrain_2 pool_mean beta_0.25 best_20 podi_0.15 scaledpodi_0.3 norm_0.7 scale_8 point_4 importance_20 mmd_1000
    total_4 dimension_0.2 sample_4 pretrain_4 pool_max beta_0.75 best_2 podi_0.05 scaledpodi_0.05 norm_0.3 scale_2 point_1
    importance_2 mmd_10 total_1 dimension_0.05 sample_1 pretrain_1)
[[ $set_name == ptb ]] || all=("${all[@]/pool_*/}") # a T-CVAE has no recurrent encoder
read -ra all <<<"${all[*]}"
# budget      the same for all rows
if [[ $set_name == ptb ]]; then
    MAX_UPDATE=${MAX_UPDATE:-658} # an epoch
    model=(--arch gru_vae_small --embed-dim 128 --hidden-dim 128 --latent-dim 16)
    optimiser=(--optimizer adam --lr "${LR:-1e-3}" --clip-norm 5 --batch-size "${BATCH_SIZE:-64}")
else
    MAX_UPDATE=${MAX_UPDATE:-800}
    model=(--arch t_cvae_small --latent-dim 32)
    optimiser=(--label-smoothing 0.1 --optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --clip-norm 25
        --lr "${LR:-2e-3}" --lr-scheduler inverse_sqrt --warmup-init-lr 1e-7 --warmup-updates 200 --stop-min-lr 1e-9
        --batch-size "${BATCH_SIZE:-64}")
fi

# heading ROW: the remedy and its strength, as the page has them.
heading() {
    local strength=${1##*_}
    case $1 in
        standard) echo "standard: weight 1" ;;
        beta_*) echo "KL weight: $strength" ;;
        best_*) echo "best of K: K = $strength" ;;
        importance_*) echo "one of K by importance: K = $strength" ;;
        podi_*) echo "L_Po-di: λ = $strength" ;;
        scaledpodi_*) echo "L_Po-di scaled: λ = $strength" ;;
        norm_*) echo "batch norm: γ = $strength" ;;
        scale_*) echo "scale: s = $strength" ;;
        point_*) echo "set point: C = $strength" ;;
        mmd_*) echo "MMD at KL weight 0.25: λ = $strength" ;;
        total_* | dimension_* | sample_*) echo "free bits over ${1%_*}: $strength" ;;
        pretrain_*) echo "pretrained with free bits: $strength" ;;
        pool_*) echo "pooling: $strength" ;;
        *) die "ROWS: $1 is no row; remedy: ${all[*]}" ;;
    esac
}

# loss_of ROW: sets `loss`, the flags in which the rows differ.
loss_of() {
    local strength=${1##*_}
    loss=(--criterion elbo)
    case $1 in
        beta_*) loss+=(--kl-weight "$strength") ;;
        best_*) loss+=(--k "$strength") ;;
        importance_*) loss+=(--k "$strength" --sample-reduction importance) ;;
        podi_*) loss+=(--podi-weight 1 --podi-target "$strength") ;;
        scaledpodi_*) loss+=(--podi-weight 1 --podi-form auto --podi-target "$strength") ;;
        norm_*) loss+=(--posterior-norm batch --posterior-norm-scale "$strength") ;;
        scale_*) loss+=(--latent-scale "$strength") ;;
        point_*) loss+=(--kl-set-point "$strength") ;;
        mmd_*) loss+=(--kl-weight 0.25 --mmd-weight "$strength") ;;
        total_* | dimension_* | sample_*) loss+=(--free-bits "$strength" --free-bits-over "${1%_*}") ;;
        # a quarter of the budget without KL, then a quarter in which its weight rises
        pretrain_*) loss+=(--pretrain-autoencoder "$((MAX_UPDATE / 4))" --free-bits "$strength" --free-bits-over total
            --kl-schedule linear --kl-warmup "$((MAX_UPDATE / 4))") ;;
        pool_*) loss+=(--encoder-pooling "$strength") ;;
    esac
}

train_row() { # ROW
    local loss
    loss_of "$1"
    LOG_INTERVAL=$((MAX_UPDATE / 50 > 0 ? MAX_UPDATE / 50 : 1)) train "$DATA" "$runs/$1" "${model[@]}" "${loss[@]}" \
        "${optimiser[@]}" --autocast "$autocast" --max-update "$MAX_UPDATE" --seed "$SEED" --num-workers 0 --disable-validation
}

decode() { # ROW FILE FLAGS...: of the test set
    local checkpoint=$runs/$1/checkpoint_last.pt
    make_once "$runs/$1/$2" "$checkpoint" -- fairseq-generate "$DATA" "${PLUGIN[@]}" ${DEVICE[@]+"${DEVICE[@]}"} \
        --path "$checkpoint" --gen-subset test --max-len-a 0 --max-len-b 40 --batch-size 128 --seed "$SEED" --num-workers 0 \
        "${@:3}"
}

score() { # ROW FILE RESPONSES FLAGS...
    make_once "$runs/$1/$2" "$runs/$1/$3" -- fairseq-latent score "$1=$runs/$1/$3" --bootstrap 0 --format json "${@:4}"
}

measure_row() { # ROW
    local checkpoint=$runs/$1/checkpoint_last.pt
    make_once "$runs/$1/latents.test.json" "$checkpoint" -- fairseq-latent latents "$DATA" --path "$checkpoint" --split test \
        --seed "$SEED" --prior-samples 1 --importance-samples "${IMPORTANCE_SAMPLES:-10}" \
        --importance-dtype "${autocast/none/float32}" --format json ${DEVICE[@]+"${DEVICE[@]}"}
    if [[ $set_name == ptb ]]; then
        decode "$1" reconstruction.txt --beam 1 --decode-from posterior
        decode "$1" samples.txt --beam 1 --decode-from prior
        score "$1" reconstruction.json reconstruction.txt --lang none
        score "$1" samples.json samples.txt --lang none
    else
        decode "$1" samples.txt --beam 5 --lenpen 1.2 --post-process sentencepiece
        score "$1" samples.json samples.txt
    fi
}

csv=${page%.md}_$set_name.csv

finished() { # ROW: whether the CSV has it
    [[ -f $csv ]] && cut -d, -f1 "$csv" | grep -qxF "$(heading "$1")"
}

show() { # NAME=RUN...: the page from the CSV and these
    run fairseq-latent table remedies "$@" --page "$page" --csv "$csv" --updates "$MAX_UPDATE" --part "$set_name" \
        --picture "$(dirname "$page")/pictures/$(basename "${page%.md}")_$set_name.png" >&2 || exit 2
}

select_rows "${all[@]}"
for row in "${rows[@]}"; do heading "$row" >/dev/null; done
if [[ -n ${SHOW:-} ]]; then
    [[ ! -f $csv ]] || show
    exit 0
fi
# data
if [[ -z ${DRY_RUN:-} && $set_name == ptb && ! -f $DATA/dict.txt ]]; then
    [[ -n ${2:-} ]] || die "DATA=$DATA is not prepared; remedy: bash scripts/tables/zoo.sh ptb FILE_OR_DIR of the Penn Treebank"
    run bash "$ROOT/scripts/prepare/ptb.sh" "$2" || exit 2
elif [[ -z ${DRY_RUN:-} && $set_name == chitchat && ! -f $DATA/dict.src.txt ]]; then
    run bash "$ROOT/scripts/prepare/chitchat.sh" || exit 2
fi
# precision   bfloat16 in training and in the importance weights where the processor is faster with it (AUTOCAST=none: never)
autocast=${AUTOCAST:-$(precision "$runs/precision")}
for row in "${rows[@]}"; do
    if [[ -z ${DRY_RUN:-} ]] && finished "$row"; then
        say "$(heading "$row") is in $csv"
        continue
    fi
    train_row "$row"
    [[ -z ${DRY_RUN:-} ]] || continue
    measure_row "$row"
    show "$(heading "$row")=$runs/$row"
done
