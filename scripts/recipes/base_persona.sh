# shellcheck shell=bash
# What recipes on data with personas share: data, budget, and the persona CVAE's model and optimiser. Sourced by them, never run.
# Variables: DATA RUN ARCH GPT2_PATH FREEZE VECTORS SEED LR WARMUP BATCH_SIZE UPDATE_FREQ MAX_UPDATE; further flags go to
# fairseq-train. DRY_RUN=1 prints the whole command. A recipe may set `task`, `corpus` and `suffix`, of its folder, before.
# shellcheck disable=SC2034,SC2154 # rows set model, loss and optimiser, and use what is set here
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
activate "${task:-persona_dialogue}"

# data        PERSONAS=yes GPT2=... bash scripts/prepare/convai2.sh TRAIN VALIDATION
data=${DATA:-$ROOT/data-bin/${corpus:-convai2_personas}}
runs=$ROOT/runs/$(basename "$data")
folder=${RUN:-$runs/$(basename "$0" .sh)${suffix:-}}

# train_row BATCH_SIZE UPDATE_FREQ MAX_UPDATE PATIENCE METRIC FLAGS...: the row's `model`, `loss` and `optimiser`, with this budget;
# PATIENCE validations without a better METRIC end it ('': they do not).
train_row() {
    local budget=(--batch-size "${BATCH_SIZE:-$1}" --update-freq "${UPDATE_FREQ:-$2}" --max-update "${MAX_UPDATE:-$3}"
        ${4:+--patience "$4"} --best-checkpoint-metric "$5" --skip-invalid-size-inputs-valid-test --seed "${SEED:-0}")
    train "$data" "$folder" "${model[@]}" "${loss[@]}" "${optimiser[@]}" "${budget[@]}" "${@:6}"
}

# train_persona_cvae FLAGS...: with the row's `loss`, and its `further` flags of the model.
further=()
train_persona_cvae() {
    # model       GPT-2 of 345M, from a folder in the form of transformers; its tables stay as they are, unless FREEZE=no
    model=(--arch "${ARCH:-persona_cvae_gpt2}" ${GPT2_PATH:+--gpt2-path "$GPT2_PATH"} ${further[@]+"${further[@]}"})
    [[ ${FREEZE:-${GPT2_PATH:+yes}} != yes ]] || model+=(--freeze-embeddings)
    optimiser=(--optimizer adam --adam-betas '(0.9, 0.999)' --clip-norm 25 --lr "${LR:-2.6e-5}" --lr-scheduler polynomial_decay
        --warmup-updates "$(warmup "$folder" 3000 11400 "$@")" --total-num-update "${MAX_UPDATE:-11400}")
    # run         five epochs of 73,000 responses, what is kept of ConvAI2's training text if it is like the validation text; 32
    #             at once, whose profiles L_Po-di keeps apart. The learning rate is nothing at the end: another MAX_UPDATE is
    #             another training, with a RUN of its own
    train_row 32 1 11400 3 prior_ppl "$@"
}
