#!/usr/bin/env bash
#SBATCH --job-name=fairseq_latent
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# One recipe on the GPUs of one node: DATA=data-bin/my sbatch scripts/cluster/single_node.sh RECIPE [FLAGS of fairseq-train].
# `bash scripts/cluster/single_node.sh --dry-run RECIPE` prints the command. Variables: the recipe's, SAVE_EVERY=500,
# PROCESSES_PER_NODE (one a GPU). The update's size is the recipe's, whatever the number of GPUs.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
[[ -f $here/job.sh ]] || here=${SLURM_SUBMIT_DIR:-.}/scripts/cluster # SLURM runs a copy of this file alone
[[ -f $here/job.sh ]] || { echo "error: $here: no scripts; remedy: sbatch from the repository's root" >&2 && exit 2; }
source "$here/job.sh"

arguments "$@"
recipe=$(recipe_file "${flags[0]:-}")
flags=("${flags[@]:1}")
check_data
PROCESSES=$(processes_per_node)
export PROCESSES LAUNCH="torchrun --standalone --nproc-per-node $PROCESSES"
train_recipe "$recipe"
