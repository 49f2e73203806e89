#!/usr/bin/env bash
#SBATCH --job-name=fairseq_latent
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# Recipes x seeds, a task each: RECIPES="t_cvae speculative_k5" SEEDS="1 2 3" DATA=data-bin/my sbatch --array=0-5
# scripts/cluster/array.sh [FLAGS of fairseq-train]. `--dry-run` prints the commands of all, and the range of --array.
# Runs are $RUNS/RECIPE-seedSEED (RUNS=runs/NAME_OF_DATA). Variables: the recipes', SAVE_EVERY=500, PROCESSES_PER_NODE.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
[[ -f $here/job.sh ]] || here=${SLURM_SUBMIT_DIR:-.}/scripts/cluster # SLURM runs a copy of this file alone
[[ -f $here/job.sh ]] || { echo "error: $here: no scripts; remedy: sbatch from the repository's root" >&2 && exit 2; }
source "$here/job.sh"

arguments "$@"
check_data
read -ra recipes <<<"${RECIPES:-t_cvae speculative_k5}"
read -ra seeds <<<"${SEEDS:-1 2 3}"
for recipe in "${recipes[@]}"; do recipe_file "$recipe" >/dev/null; done
last=$((${#recipes[@]} * ${#seeds[@]} - 1))
runs=${RUNS:-$ROOT/runs/$(basename "$DATA")}
PROCESSES=$(processes_per_node)
export PROCESSES LAUNCH=
if ((PROCESSES > 1)); then LAUNCH="torchrun --standalone --nproc-per-node $PROCESSES"; fi

# train_row INDEX: one recipe with one seed.
train_row() {
    local recipe=${recipes[$1 / ${#seeds[@]}]}
    export SEED=${seeds[$1 % ${#seeds[@]}]}
    export RUN=$runs/$recipe-seed$SEED
    train_recipe "$(recipe_file "$recipe")"
}

if [[ -n ${DRY_RUN:-} && -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
    say "sbatch --array=0-$last"
    for ((index = 0; index <= last; index++)); do train_row "$index"; done
    exit
fi
if [[ ! ${SLURM_ARRAY_TASK_ID:-} =~ ^[0-9]+$ ]] || ((SLURM_ARRAY_TASK_ID > last)); then
    die "task ${SLURM_ARRAY_TASK_ID:-(none)} of $((last + 1)) recipes x seeds; remedy: sbatch --array=0-$last ${0##*/}"
fi
train_row "$SLURM_ARRAY_TASK_ID"
