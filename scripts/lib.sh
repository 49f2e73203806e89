# shellcheck shell=bash
# What the scripts share: messages, the environment, and one training run. Sourced, never run.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Print a command, then run it.
run() {
    printf '+ %s\n' "$(printf '%q ' "$@")" >&2
    "$@"
}

# The environment that setup.sh made, unless one with fairseq_latent is active.
activate() {
    if [[ -z ${FAIRSEQ_LATENT_NO_VENV:-} && -x $ROOT/.venv/bin/python ]]; then
        export PATH=$ROOT/.venv/bin:$PATH
    fi
    command -v fairseq-train >/dev/null || die "fairseq-train is not installed; remedy: bash scripts/setup.sh"
    export PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive # threads that spin slow a shared machine down
    if nvidia-smi >/dev/null 2>&1; then DEVICE=(); else DEVICE=(--cpu); fi
}

# Processors to share out among parallel jobs.
cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# The binarised data set's and the plugin's flags, the same for training, decoding and measuring.
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task dialogue)

# train DATA RUN FLAGS...: one training run into folder RUN, resumed where it was, not repeated once done.
train() {
    local data=$1 folder=$2
    shift 2
    local flags lock
    flags=$(printf '%q ' "$data" "$@")
    mkdir -p "$folder"
    exec {lock}>"$folder/lock" # held by the training too: it outlives a script that was killed
    if command -v flock >/dev/null && ! flock -n "$lock"; then
        die "$folder is being trained by another process; remedy: wait for it, or end it: fuser -k $folder/lock"
    fi
    if [[ -f $folder/flags && $(<"$folder/flags") != "$flags" ]]; then
        die "$folder was trained with other flags ($folder/flags); remedy: RUN=another folder, or remove this one"
    fi
    printf '%s\n' "$flags" >"$folder/flags"
    if [[ -f $folder/done ]]; then
        say "$folder is trained"
        return
    fi
    local training=(fairseq-train "$data" "${PLUGIN[@]}" "${DEVICE[@]}" "$@" --save-dir "$folder" --no-epoch-checkpoints
        --log-format json --log-interval "${LOG_INTERVAL:-100}" --log-file "$folder/train.log")
    printf '%q ' "${training[@]}" >"$folder/checkpoint_best.pt.command"
    run "${training[@]}" >"$folder/train.out" 2>&1 ||
        die "training $folder failed: $(grep -E '^error: ' "$folder/train.out" | tail -n 1 || tail -n 1 "$folder/train.out")"
    touch "$folder/done"
}

# whole FILE COMMAND...: the command's standard output becomes FILE, at the end and only if it succeeds.
whole() {
    local file=$1
    shift
    [[ ! -s $file ]] || return 0
    printf '+ %s> %s\n' "$(printf '%q ' "$@")" "$file" >&2
    "$@" >"$file.part" 2>"$file.err" ||
        die "$1 failed: $(grep -E '^error: ' "$file.err" | tail -n 1 || tail -n 1 "$file.err"); all of it: $file.err"
    printf '%q ' "$@" >"$file.command"
    mv "$file.part" "$file"
    rm -f "$file.err"
}

# in_parallel LABEL COUNTER COMMAND FOLDERS...: `COMMAND FOLDER` for all folders at once, the processors shared out; what
# `COUNTER FOLDER` prints shows how far each is. The first that fails ends all.
in_parallel() {
    local label=$1 counter=$2 command=$3 folder jobs=() threads
    shift 3
    threads=$(($(cores) / $#))
    set -m # each job is a process group: what it started ends with it
    for folder in "$@"; do
        (
            export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
            "$command" "$folder"
        ) &
        jobs+=($!)
    done
    _watch "$label" "$counter" "$@" &
    local watcher=$! failed=0 job
    set +m
    # shellcheck disable=SC2064 # the jobs of now
    trap "kill -- ${jobs[*]/#/-} -$watcher 2>/dev/null || true; exit 143" INT TERM
    local running=1
    while ((running)); do
        running=0
        for job in "${jobs[@]}"; do
            if kill -0 "$job" 2>/dev/null; then
                running=1
            elif ! wait "$job"; then
                failed=1
                kill -- "${jobs[@]/#/-}" 2>/dev/null || true
            fi
        done
        sleep 0.3
    done
    trap - INT TERM
    kill -- "-$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    ((!failed)) || exit 2
}

# A line of progress: redrawn on a terminal, one every half minute elsewhere.
_watch() {
    local label=$1 counter=$2 folder line
    shift 2
    while sleep "$([[ -t 2 ]] && echo 1 || echo 30)"; do
        line=
        for folder in "$@"; do line+="  $(basename "$folder") $("$counter" "$folder")"; done
        if [[ -t 2 ]]; then printf '\r\033[K%s' "$label$line" >&2; else printf '%s\n' "$label$line" >&2; fi
    done
}

updates_done() { # of a run in training
    local log=$1/train.log
    grep -o '"num_updates": "[0-9]*"' "$log" 2>/dev/null | tail -n 1 | tr -dc 0-9 || true
    [[ -z ${MAX_UPDATE:-} ]] || printf '/%s updates' "$MAX_UPDATE"
}

lines_decoded() { # of a run that is being decoded
    cat "$1"/generate.test.txt* "$1"/samples.test1.txt* 2>/dev/null | grep -c '^H-' || true
}
