# shellcheck shell=bash
# What the rows of Tables 1 and 2 of Sato et al. (2021) share: data, model, optimiser, budget. Sourced by them, never run.
# Variables: DATA RUN ARCH SEED LR WARMUP MAX_TOKENS UPDATE_FREQ MAX_UPDATE VECTORS; further flags go to fairseq-train.
# DRY_RUN=1 prints the whole command.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate

# data        any folder made by fairseq-preprocess --joined-dictionary -s src -t tgt
data=${DATA:-$ROOT/data-bin/twitter_en}
folder=${RUN:-$ROOT/runs/$(basename "$data")/$(basename "$0" .sh)}
arch=t_cvae

# train_row FLAGS...: with the row's `loss`, and its `arch`.
train_row() {
    # model       Transformer-base, word vectors where there are any
    local model=(--arch "${ARCH:-$arch}" ${VECTORS:+--encoder-embed-path "$VECTORS"})
    # optimiser   a rate that falls with the root of the updates, or in a line to nothing at the budget's end
    local schedule=(--warmup-init-lr 1e-7) lowest=1e-9
    case ${LR_SCHEDULER:=inverse_sqrt} in
        inverse_sqrt) ;;
        polynomial_decay) schedule=(--total-num-update "${MAX_UPDATE:-250000}") lowest=-1 ;; # it begins at 0
        *) die "LR_SCHEDULER=$LR_SCHEDULER is unknown; remedy: inverse_sqrt or polynomial_decay" ;;
    esac
    local optimiser=(--optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 1e-4 --clip-norm 25
        --lr "${LR:-1e-3}" --lr-scheduler "$LR_SCHEDULER" "${schedule[@]}"
        --warmup-updates "$(warmup "$folder" 4000 250000 "$@")" --stop-min-lr "$lowest")
    # run         about 27,000 tokens an update
    local budget=(--max-tokens "${MAX_TOKENS:-3360}" --update-freq "${UPDATE_FREQ:-8}" --max-update "${MAX_UPDATE:-250000}"
        --seed "${SEED:-0}")
    # shellcheck disable=SC2154 # the row sets loss
    train "$data" "$folder" "${model[@]}" "${loss[@]}" --label-smoothing 0.1 "${optimiser[@]}" "${budget[@]}" "$@"
}
