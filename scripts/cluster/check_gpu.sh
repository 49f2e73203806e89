#!/usr/bin/env bash
# The list of docs/cluster.md on this machine's GPU, in less than 10 minutes: every precision, memory at K = 40, repeatability,
# decoding, torch.compile, tokens per second, the persona model at 345M. Prints a table and the lines for docs/cluster.md;
# exits with 1 if something does not hold.
#   bash scripts/cluster/check_gpu.sh [--cpu] [--only CHECK...] [DATA]     DATA: data-bin/quickstart, of scripts/quickstart.sh
# --cpu tries a small form of all of it on the CPU.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

words=() data='' only=''
for word in "$@"; do
    case $word in
        -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
        --cpu) words+=(--cpu) only='' ;;
        --only) words+=(--only) only=1 ;;
        -*) die "$word is no option; remedy: bash $0 --help" ;;
        */* | .) data=$word only='' ;;
        *) if [[ -n $only ]]; then words+=("$word"); else data=$word; fi ;;
    esac
done
activate
data=${data:-$ROOT/data-bin/quickstart}
[[ -f $data/dict.src.txt ]] || die "$data: no binarised data; remedy: bash scripts/quickstart.sh, or another folder"
# it shares code with the other benchmarks
export PYTHONPATH=$ROOT/benchmarks${PYTHONPATH:+:$PYTHONPATH}
python "$ROOT/benchmarks/gpu/check_gpu.py" "$data" ${words[@]+"${words[@]}"}
