# shellcheck shell=bash
# What the batch scripts share: their arguments, one recipe a job, and going back into the queue. Sourced, never run.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# header NAME: the value of `#SBATCH --NAME=` in the script that runs, for what SLURM has not set.
header() { sed -n "s/^#SBATCH --$1=//p" "$0"; }

# arguments [--dry-run] [WORDS...]: sets DRY_RUN and `flags`; refuses to train outside a job.
arguments() {
    local word
    flags=()
    for word in "$@"; do
        if [[ $word == --dry-run ]]; then
            export DRY_RUN=1 FAIRSEQ_LATENT_DEVICE=${FAIRSEQ_LATENT_DEVICE:-gpu}
        else
            flags+=("$word")
        fi
    done
    [[ -n ${DRY_RUN:-} || -n ${SLURM_JOB_ID:-} ]] ||
        die "not in a SLURM job (SLURM_JOB_ID is not set); remedy: sbatch ${0##*/}, or --dry-run for its commands"
}

# recipe_file RECIPE: the path of a recipe, given by name.
recipe_file() {
    local known
    known=$(basename -s .sh "$ROOT"/scripts/recipes/*.sh | grep -v '^base_' | paste -sd ' ')
    [[ -f $ROOT/scripts/recipes/$1.sh && $1 != base_* ]] || die "recipe ${1:-(none)} is unknown; remedy: one of $known"
    printf '%s' "$ROOT/scripts/recipes/$1.sh"
}

# check_data: the data set is there, before a job waits for it.
check_data() {
    [[ -n ${DATA:-} ]] || die "DATA is not set; remedy: DATA=data-bin/my, a folder made by fairseq-preprocess"
    [[ -n ${DRY_RUN:-} || -f $DATA/dict.src.txt ]] ||
        die "DATA=$DATA: no data set; remedy: a folder made by fairseq-preprocess, on a disk that all nodes see"
}

# processes_per_node: one a GPU that the job has, or PROCESSES_PER_NODE.
processes_per_node() {
    local count=${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-}}
    [[ -n $count || -z ${DRY_RUN:-} ]] || count=$(header gpus-per-node)
    [[ $count =~ ^[1-9][0-9]*$ ]] ||
        die "the job has no GPUs (SLURM_GPUS_ON_NODE); remedy: sbatch --gpus-per-node=4, or PROCESSES_PER_NODE=2 on CPUs"
    printf '%s' "$count"
}

# train_recipe FILE: train, saving every SAVE_EVERY updates. fairseq saves nothing at a signal: what a stopped job loses is
# what it trained since, and it does that again exactly. At USR1, which SLURM sends before the time is over, the job ends
# its training and goes back into the queue.
train_recipe() {
    local saving=(--save-interval-updates "${SAVE_EVERY:-500}" --keep-interval-updates 1)
    if [[ -n ${DRY_RUN:-} ]]; then
        bash "$1" "${saving[@]}" ${flags[@]+"${flags[@]}"}
        return
    fi
    trap 'end_training; exit 143' TERM INT
    trap 'end_training; requeue' USR1
    set -m # the recipe is a process group: what it started ends with it
    bash "$1" "${saving[@]}" ${flags[@]+"${flags[@]}"} &
    recipe_job=$!
    set +m
    local status=0
    wait "$recipe_job" || status=$?
    exit "$status"
}

# Half a minute to end, of the two minutes that SLURM leaves.
end_training() {
    local waited
    trap '' USR1 TERM INT
    kill -- "-$recipe_job" 2>/dev/null || true
    for ((waited = 0; waited < 60; waited++)); do
        kill -0 -- "-$recipe_job" 2>/dev/null || return 0
        sleep 0.5
    done
    kill -KILL -- "-$recipe_job" 2>/dev/null || true
}

requeue() {
    say "time is nearly over: job $SLURM_JOB_ID goes back into the queue, and on from its last checkpoint"
    scontrol requeue "$SLURM_JOB_ID" || die "scontrol requeue $SLURM_JOB_ID failed; remedy: the same sbatch goes on by hand"
    exit 0
}
