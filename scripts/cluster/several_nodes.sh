#!/usr/bin/env bash
#SBATCH --job-name=fairseq_latent
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# One recipe on several nodes: DATA=data-bin/my sbatch --nodes=2 scripts/cluster/several_nodes.sh RECIPE [FLAGS].
# `bash scripts/cluster/several_nodes.sh --dry-run RECIPE` prints the command. Variables: the recipe's, SAVE_EVERY=500,
# PROCESSES_PER_NODE (one a GPU), RENDEZVOUS_SECONDS=50 (until all nodes have met).
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
[[ -f $here/job.sh ]] || here=${SLURM_SUBMIT_DIR:-.}/scripts/cluster # SLURM runs a copy of this file alone
[[ -f $here/job.sh ]] || { echo "error: $here: no scripts; remedy: sbatch from the repository's root" >&2 && exit 2; }
source "$here/job.sh"

arguments "$@"
recipe=$(recipe_file "${flags[0]:-}")
flags=("${flags[@]:1}")
check_data
each=$(processes_per_node)
nodes=${SLURM_NNODES:-$(header nodes)}
if [[ -n ${SLURM_JOB_NODELIST:-} ]]; then
    names=$(scontrol show hostnames "$SLURM_JOB_NODELIST") || die "scontrol does not know the nodes $SLURM_JOB_NODELIST"
    head=${names%%$'\n'*}
elif [[ -n ${DRY_RUN:-} ]]; then
    head=$(hostname)
else
    die "the job has no nodes (SLURM_JOB_NODELIST is not set); remedy: sbatch --nodes=2 ${0##*/}"
fi
job=${SLURM_JOB_ID:-0}
seconds=${RENDEZVOUS_SECONDS:-50}
# run         one torchrun a node; they meet at the first node
launch=(srun "--nodes=$nodes" "--ntasks=$nodes" --ntasks-per-node=1 --kill-on-bad-exit=1)
launch+=(torchrun --nnodes "$nodes" --nproc-per-node "$each" --rdzv-id "$job.${SLURM_RESTART_COUNT:-0}")
launch+=(--rdzv-backend c10d --rdzv-endpoint "$head:$((20000 + job % 20000))")
launch+=(--rdzv-conf "read_timeout=$((seconds / 3 + 1)),join_timeout=$seconds")
export PROCESSES=$((nodes * each)) LAUNCH="${launch[*]}"
train_recipe "$recipe"
