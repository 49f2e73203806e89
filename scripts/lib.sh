# shellcheck shell=bash
# What the scripts share: messages, the environment, and one training run. Sourced, never run.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# shellcheck source=scripts/files.sh
source "$ROOT/scripts/files.sh"
# shellcheck source=scripts/progress.sh
source "$ROOT/scripts/progress.sh"

# Print a command, then run it; a script tells itself how far it is.
run() {
    show_command "$@"
    local words=2
    [[ $1 != python ]] || words=3
    if [[ $1 == bash ]]; then "$@"; else watched "${*:1:words}" since "$SECONDS" '' "$@"; fi
}

# logged LOG COMMAND...: the same, its output at the end of LOG; what it says last is why it failed.
logged() {
    local log=$1
    shift
    show_command "$@"
    attempt "$log" touch "$log"
    watched "$1" since "$SECONDS" "$log" "$@" || die "$1 failed: $(last_words "$log")"
}

show_command() { printf '%s+ %s\n' "$(_line_start)" "$(printf '%q ' "$@")" >&2; }

# option_value OPTION VALUE: refuse an option without its value.
option_value() { [[ $# -ge 2 && -n $2 ]] || die "$1 needs a value; remedy: bash ${BASH_SOURCE[1]} --help"; }

# few_words MOST ARGUMENTS...: a script that takes variables and at most MOST files prints its head for --help, and refuses the
# rest.
few_words() {
    local most=$1 word
    shift
    for word in "$@"; do
        case $word in
            -h | --help)
                sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p;}' "$0"
                exit 0
                ;;
            -*) die "$word is no option; remedy: bash $0 --help" ;;
        esac
    done
    (($# <= most)) || die "$# arguments, at most $most; remedy: bash $0 --help"
}

# SHA-256 of the standard input.
digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

# How words are counted in the scores, checked before anything long is computed.
check_language() {
    case $1 in en | ja | none) ;; *) die "language $1 of the scores is unknown; remedy: en, ja or none" ;; esac
}

# The environment that setup.sh made, unless FAIRSEQ_LATENT_NO_VENV is set: then the active one.
activate() {
    if [[ -z ${FAIRSEQ_LATENT_NO_VENV:-} && -x $ROOT/.venv/bin/python ]]; then
        export PATH=$ROOT/.venv/bin:$PATH
    fi
    command -v fairseq-train >/dev/null || die "fairseq-train is not installed; remedy: bash scripts/setup.sh"
    export PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive # threads that spin slow a shared machine down
    case ${FAIRSEQ_LATENT_DEVICE:-} in # what a dry run for another machine must be told
        '') if nvidia-smi >/dev/null 2>&1; then DEVICE=(); else DEVICE=(--cpu); fi ;;
        cpu) DEVICE=(--cpu) ;;
        gpu) DEVICE=() ;;
        *) die "FAIRSEQ_LATENT_DEVICE=$FAIRSEQ_LATENT_DEVICE is unknown; remedy: cpu or gpu" ;;
    esac
    ON_GPU=$([[ ${DEVICE[*]-} == --cpu ]] || echo 1)
}

# Processors to share out among parallel jobs; nproc would take OMP_NUM_THREADS for their number.
cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# precision FILE: what --autocast should be on this machine, measured once and noted in FILE: a run that goes on keeps it.
precision() {
    local measured
    make_folders "$(dirname "$1")"
    if [[ ! -s $1 ]]; then
        measured=$(python -m fairseq_latent.doctor.precision) || die "torch does not import; remedy: fairseq-latent doctor"
        put "$1" printf '%s\n' "$measured"
    fi
    cat "$1"
}

# The binarised data set's and the plugin's flags, the same for training, decoding and measuring.
PLUGIN=(--user-dir "$ROOT/fairseq_latent" --task dialogue)

# Flags of fairseq-train, each with a value, for how long and how often: they may change while a run goes on.
BUDGET=(--max-update --max-epoch --stop-time-hours --validate-interval --validate-interval-updates --save-interval
    --save-interval-updates --keep-interval-updates --log-interval --log-format --log-file --tensorboard-logdir)

# budget_and_rest FLAGS...: sets `updates` and `epochs`, and `rest`: what is trained, without the budget.
budget_and_rest() {
    updates=0 epochs=0 rest=() # 0: no limit
    while (($#)); do
        local flag=${1%%=*} value=${2:-} words=2
        if [[ $1 == *=* ]]; then value=${1#*=} words=1; fi
        case $flag in --max-update) updates=$value ;; --max-epoch) epochs=$value ;; esac
        if [[ " ${BUDGET[*]} " != *" $flag "* ]]; then rest+=("$1") words=1; fi
        shift $((words < $# ? words : $#))
    done
}

# warmup RUN MOST BUDGET FLAGS...: updates in which a recipe's learning rate rises. WARMUP where it is set. The paper's MOST with
# the recipe's own BUDGET or more updates; of fewer (MAX_UPDATE, or --max-update among the flags) a tenth, at most MOST: or the
# rate would never reach its peak. A run that has begun keeps what it began with.
warmup() { _rise "${WARMUP:-}" --warmup-updates 10 "$@"; }

# kl_warmup RUN MOST BUDGET FLAGS...: the same of the KL weight: KL_WARMUP, MOST, or half of the updates.
kl_warmup() { _rise "${KL_WARMUP:-}" --kl-warmup 2 "$@"; }

_rise() { # ASKED FLAG PARTS RUN MOST BUDGET FLAGS...
    local asked=$1 flag=$2 parts=$3 folder=$4 most=$5 budget=$6 found updates epochs rest
    shift 6
    budget_and_rest --max-update "${MAX_UPDATE:-$budget}" "$@"
    found=$most
    if [[ $updates != *[!0-9]* ]] && ((updates > 0 && updates < budget)); then
        found=$((updates / parts > 0 ? updates / parts : 1))
        ((found < most)) || found=$most
    fi
    if compgen -G "$folder/checkpoint*.pt" >/dev/null; then
        found=$({ grep -o -e "$flag [0-9]*" "$folder/flags" 2>/dev/null || printf '%s %s\n' "$flag" "$found"; } | head -n 1 | cut -d' ' -f2)
    fi
    printf '%s' "${asked:-$found}"
}

# smaller LIMIT LIMIT: 0 is no limit; what is no number fairseq-train refuses itself.
smaller() { [[ $1$2 != *[!0-9]* ]] && ((${1:-0} > 0 && (${2:-0} == 0 || $1 < $2))); }

# share_out PROCESSES FLAGS...: sets `shared`, the flags with --update-freq shared out among the processes.
share_out() {
    local processes=$1 word before=''
    shift
    shared=()
    for word in "$@"; do
        if [[ $before == --update-freq ]] && ((processes > 1)); then
            if [[ $word == *[!0-9]* ]] || ((word % processes)); then
                die "--update-freq $word cannot be shared by $processes processes; remedy: a multiple, UPDATE_FREQ=$processes"
            fi
            word=$((word / processes))
        fi
        before=$word shared+=("$word")
    done
}

# train DATA RUN FLAGS...: one training run into folder RUN, resumed where it was, not repeated once done, extended by a
# larger budget. With PROCESSES=4 four processes share out each update's batches, which changes no number; they are
# started by the words of LAUNCH, or by fairseq. DRY_RUN=1 only prints the command.
train() {
    local data=$1 folder=$2
    shift 2
    local flags updates epochs rest shared launch trained_updates trained_epochs held=''
    [[ ${PROCESSES:-1} =~ ^[1-9][0-9]*$ ]] || die "PROCESSES=$PROCESSES is no number of processes; remedy: PROCESSES=2"
    share_out "${PROCESSES:-1}" "$@"
    read -ra launch <<<"${LAUNCH:-}"
    local training=(fairseq-train)
    [[ -z ${LAUNCH:-} ]] || training=("${launch[@]}" "$(command -v fairseq-train)") # torchrun takes a file
    training+=("$data" "${PLUGIN[@]}" ${DEVICE[@]+"${DEVICE[@]}"} --distributed-world-size "${PROCESSES:-1}" "${shared[@]}"
        --save-dir "$folder" --no-epoch-checkpoints --log-format json --log-interval "${LOG_INTERVAL:-20}"
        --log-file "$folder/train.log")
    if [[ -n ${DRY_RUN:-} ]]; then
        printf '%s&&%s\n' "$(printf '%q ' mkdir -p "$folder")" "$(printf ' %q' "${training[@]}")"
        return
    fi
    budget_and_rest "$@"
    flags=$(printf '%q ' "$data" "${rest[@]}")
    flags+="data=$(cat "$data"/dict.src.txt "$data"/train.*.idx "$data"/dict.txt "$data"/train.idx "$data"/train.{fader,own_fader} 2>/dev/null | digest || true)"
    make_folders "$folder"
    lock "$folder/lock" refuse \
        "$folder is being trained by another process; remedy: wait for it, or end it: fuser -k $folder/lock"
    ! command -v flock >/dev/null || held=$(cd "$folder" && pwd -P) # fairseq-train itself locks what is not (compat/turns.py)
    if ! compgen -G "$folder/checkpoint*.pt" >/dev/null; then
        rm -f "$folder/done" # nothing is trained yet: any flags will do
    elif [[ $(cat "$folder/flags" 2>/dev/null) != "$flags" ]]; then
        die "$folder was trained with other flags or data ($folder/flags); remedy: another folder (RUN=, of a table RUNS=), or remove this one"
    fi
    put "$folder/flags" printf '%s\n' "$flags"
    if [[ -f $folder/done ]]; then
        read -r trained_updates trained_epochs <"$folder/done" || true
        if [[ "$updates $epochs" == "$trained_updates $trained_epochs" ]]; then
            say "$folder is trained"
            return
        fi
        if smaller "$updates" "$trained_updates" || smaller "$epochs" "$trained_epochs"; then
            die "$folder was trained with a larger budget ($folder/done: updates, epochs); remedy: another folder (RUN=, of a table RUNS=)"
        fi
    fi
    put "$folder/checkpoint_best.pt.command" printf '%q ' "${training[@]}"
    show_command "${training[@]}"
    rm -f "$folder/train.out"
    local begun=$SECONDS
    FAIRSEQ_LATENT_LOCKED=$held watched "training $(basename "$folder")" _updates_of "$folder $updates" "$folder/train.out" "${training[@]}" ||
        die "training $folder failed: $(last_words "$folder/train.out")"
    put "$folder/done" printf '%s %s\n' "$updates" "$epochs"
    [[ -n ${IN_PARALLEL:-} ]] || say "$folder is trained, in $(span $((SECONDS - begun)))"
}

_updates_of() { updates_done "${1% *}" "${1##* }"; } # RUN MOST, in one word

# in_parallel LABEL COUNTER COMMAND FOLDERS...: `COMMAND FOLDER` for all folders, JOBS (default: one per processor) at a time,
# the processors shared out; on a GPU one at a time. What `COUNTER FOLDER` prints shows how far each is. The first that fails
# ends all, unless KEEP_GOING=1; either way the end is `exit 2`.
in_parallel() {
    local label=$1 counter=$2 command=$3 jobs=() ended=() limit threads running failed=0 stop=0 drawn=$SECONDS index
    shift 3
    limit=${JOBS:-$(if [[ -n ${ON_GPU:-} ]]; then echo 1; else cores; fi)}
    [[ $limit =~ ^[1-9][0-9]*$ ]] || die "JOBS=$limit is no number of jobs; remedy: JOBS=2"
    ((limit < $#)) || limit=$#
    threads=$(($(cores) / limit))
    trap '_end_jobs; exit 129' HUP
    trap '_end_jobs; exit 130' INT
    trap '_end_jobs; exit 143' TERM
    trap '_end_jobs; exit 141' PIPE # whoever read the progress is gone
    while :; do
        running=0
        for index in "${!jobs[@]}"; do
            [[ -z ${ended[index]:-} ]] || continue # asked once: its number may by now be another process's
            if kill -0 "${jobs[index]}" 2>/dev/null; then
                running=$((running + 1))
                continue
            fi
            ended[index]=1
            if ! wait "${jobs[index]}"; then
                failed=1
                kill -- "-${jobs[index]}" 2>/dev/null || true # what a failed job left running
                ((stop)) || [[ -n ${KEEP_GOING:-} ]] || _end_jobs
                [[ -n ${KEEP_GOING:-} ]] || stop=1
            fi
        done
        while ((!stop && running < limit && ${#jobs[@]} < $#)); do
            _start_job "${@:${#jobs[@]}+1:1}"
            running=$((running + 1))
        done
        ((running)) || break
        if [[ -t 2 ]] && ((SECONDS > drawn)); then # redrawn on a terminal, a line every half minute elsewhere
            printf '\r\033[K%s' "$(_progress "$@")" >&2
            drawn=$SECONDS
        elif ((SECONDS >= drawn + ${PROGRESS_SECONDS:-30})); then
            printf '%s\n' "$(_progress "$@")" >&2
            drawn=$SECONDS
        fi
        sleep 0.3
    done
    trap - HUP INT TERM PIPE
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    ((!failed)) || exit 2
    printf '%s\n' "$(_progress "$@")" >&2
}

# every_one LABEL COUNTER COMMAND FOLDERS...: in_parallel for all, whatever fails, which sets `failed`; a signal to the script
# ends them too.
every_one() {
    local inner status=0
    (KEEP_GOING=1 in_parallel "$@") &
    inner=$!
    trap 'kill "$inner"; wait "$inner"; exit 143' HUP INT TERM
    wait "$inner" || status=$?
    trap - HUP INT TERM
    ((status == 0 || status == 2)) || exit "$status" # stopped by hand
    ((status == 0)) || failed=$status
}

# page_in RUNS FILE VARIABLES...: sets `page`, where results are shown: PAGE, FILE for those of a script's own settings, and
# a page among the runs where one of the variables was set.
# shellcheck disable=SC2034 # the script's
page_in() {
    local runs=$1 variable
    page=${PAGE:-$2}
    shift 2
    [[ -z ${PAGE:-} ]] || return 0
    for variable in RUNS DATA "$@"; do
        [[ -z ${!variable:-} ]] || page=$runs/results.md
    done
}

# dry_runs COMMAND FOLDERS...: what a table would train, one row after the other.
dry_runs() {
    local folder
    for folder in "${@:2}"; do "$1" "$folder"; done
}

# shellcheck disable=SC2154 # `rows` is the script's
# rows_to_show RUNS ROWS...: sets `shown`: of a table's rows those that were begun in RUNS, and all that `rows` names.
rows_to_show() {
    local folder=$1 row
    shift
    shown=()
    for row in "$@"; do
        [[ " ${rows[*]} " != *" $row "* && ! -d $folder/$row ]] || shown+=("$row")
    done
    for row in "${rows[@]}"; do
        [[ " $* " == *" $row "* ]] || shown+=("$row")
    done
}

_start_job() {
    exec 8>&2 2>/dev/null # bash would tell of every job that ends
    set -m                # each job is a process group: what it started ends with it
    (
        exec 2>&8 8>&-
        export IN_PARALLEL=1 # one progress line, that of all
        export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
        "$command" "$1"
    ) &
    jobs+=($!)
    set +m
    exec 2>&8 8>&-
}

# The jobs of in_parallel that have not ended, and what they started.
_end_jobs() {
    local index
    for index in "${!jobs[@]}"; do
        [[ -n ${ended[index]:-} ]] || kill -- "-${jobs[index]}" 2>/dev/null || true
    done
}

_progress() { # how far the job of each folder is; those that wait are counted
    local line=$label index=0 folder
    for folder in "${@:1:${#jobs[@]}}"; do
        line+="  $(basename "$folder") $("$counter" "$folder")"
        [[ -z ${ended[index]:-} ]] || line+=", finished"
        index=$((index + 1))
    done
    ((index == $#)) || line+="  and $(($# - index)) to come"
    printf '%s' "$line"
}
