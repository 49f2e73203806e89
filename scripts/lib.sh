# shellcheck shell=bash
# What the scripts share. Sourced, never run. Locks, jobs, progress and trainings are fairseq_latent/shell/, in Python.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

helper() { python -m fairseq_latent.shell "$@"; }

# --- arguments and environment ---------------------------------------------------------------------------------------

# option_value OPTION VALUE: refuse an option without its value.
option_value() { [[ $# -ge 2 && -n $2 ]] || die "$1 needs a value; remedy: bash ${BASH_SOURCE[1]} --help"; }

# parse_arguments MOST ARGUMENTS...: of a script that takes variables and at most MOST files. --help prints the script's head.
parse_arguments() {
    local most=$1 word
    shift
    for word in "$@"; do
        case $word in
            -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
            -*) die "$word is no option; remedy: bash $0 --help" ;;
        esac
    done
    (($# <= most)) || die "$# arguments, at most $most; remedy: bash $0 --help"
}

# check_language LANGUAGE: how words are counted in the scores, checked before anything long is computed.
check_language() { case $1 in en | ja | zh | none) ;; *) die "language $1 of the scores is unknown; remedy: en, ja, zh or none" ;; esac; }

# activate [TASK]: the environment that setup.sh made, unless FAIRSEQ_LATENT_NO_VENV is set: then the active one. Sets the flags
# of training, decoding and measuring: PLUGIN, and DEVICE, which FAIRSEQ_LATENT_DEVICE=cpu|gpu chooses for another machine.
activate() {
    if [[ -z ${FAIRSEQ_LATENT_NO_VENV:-} && -x $ROOT/.venv/bin/python ]]; then
        export PATH=$ROOT/.venv/bin:$PATH
    fi
    command -v fairseq-train >/dev/null || die "fairseq-train is not installed; remedy: bash scripts/setup.sh"
    export PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive # threads that spin slow a shared machine down
    local plugin=$ROOT/fairseq_latent
    [[ -d $plugin ]] || plugin=$(python -c 'import fairseq_latent; print(*fairseq_latent.__path__)') # a copy of installed scripts
    PLUGIN=(--user-dir "$plugin" --task "${1:-dialogue}") DEVICE=()
    case ${FAIRSEQ_LATENT_DEVICE:-} in
        '') nvidia-smi >/dev/null 2>&1 || DEVICE=(--cpu) ;;
        cpu) DEVICE=(--cpu) ;;
        gpu) ;;
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
        write_atomically "$1" printf '%s\n' "$measured"
    fi
    cat "$1"
}

# --- files -----------------------------------------------------------------------------------------------------------

# SHA-256 of the standard input.
digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

# cannot_write FILE MESSAGE: what bash, mkdir or head said, as one line.
cannot_write() {
    local message=${2##*$'\n'}
    die "$1: ${message##*: }; remedy: free space, or a folder that you may write to; then start again"
}

# attempt FILE COMMAND...: a command that writes FILE and nothing else to its output.
attempt() {
    local file=$1 message
    shift
    message=$("$@" 2>&1) || cannot_write "$file" "$message"
}

make_folders() { attempt "$1" mkdir -p "$@"; }

# write_atomically FILE COMMAND...: the command's output becomes FILE, or nothing changes. Parts of killed processes are removed.
write_atomically() {
    local file=$1 message part stem left
    stem=$(dirname "$file")/.$(basename "$file")
    for left in "$stem".*.part; do
        message=${left#"$stem".}
        [[ ! -f $left || ! ${message%.part} =~ ^[0-9]+$ ]] || kill -0 "${message%.part}" 2>/dev/null || rm -f "$left"
    done
    part=$stem.${BASHPID:-$RANDOM}.part
    shift
    message=$({ "$@" >"$part" && mv "$part" "$file"; } 2>&1) || {
        rm -f "$part"
        cannot_write "$file" "$message"
    }
}

# lock FILE refuse|wait MESSAGE: hold FILE with descriptor 9, which children inherit, if nobody else does; else say MESSAGE, and
# end or wait.
lock() {
    attempt "$1" touch "$1"
    exec 9>>"$1"
    helper lock 9 "${@:2}" || exit
}

# make_once FILE INPUTS... -- COMMAND...: the command's standard output becomes FILE, at the end and only if it succeeds. Not
# repeated, unless the command is another one or an input is newer. Of two processes in one folder the second waits.
make_once() { helper make "$@" 9>&- || exit; }

# --- commands, trainings, jobs ---------------------------------------------------------------------------------------

show_command() { printf '+ %s\n' "$(printf '%q ' "$@")" >&2; }

# Print a command, then run it, with the standard input alone: no <(…); a script shows its own progress.
run() {
    if [[ $1 != bash ]]; then
        helper run '' "$@"
    else
        show_command "$@"
        "$@"
    fi
}

# logged LOG COMMAND...: the same, its output at the end of LOG; its last line there is why it failed.
logged() {
    attempt "$1" touch "$1"
    helper run "$@" || exit
}

# warmup RUN MOST BUDGET FLAGS...: updates in which a recipe's learning rate rises. WARMUP if it is set. The paper's MOST with
# the recipe's own BUDGET or more updates; of fewer (MAX_UPDATE, or --max-update among the flags) a tenth, at most MOST.
warmup() { printf '%s' "${WARMUP:-$(helper warmup --warmup-updates 10 "$@")}"; }

# kl_warmup RUN MOST BUDGET FLAGS...: the same of the KL weight: KL_WARMUP, MOST, or half of the updates.
kl_warmup() { printf '%s' "${KL_WARMUP:-$(helper warmup --kl-warmup 2 "$@")}"; }

# train DATA RUN FLAGS...: one training run into folder RUN, resumed where it was, not repeated once done, extended by a
# larger budget. PROCESSES=4 shares out each update's batches; the words of LAUNCH start them. DRY_RUN=1 prints the command.
train() { helper train "${@:1:2}" "${PLUGIN[@]}" ${DEVICE[@]+"${DEVICE[@]}"} -- "${@:3}" || exit; }

# run_parallel LABEL COUNTER FUNCTION FOLDERS...: `FUNCTION FOLDER` for all folders, JOBS (default: one per processor) at a time,
# the processors shared out; on a GPU one at a time. COUNTER (updates, responses, importance) shows how far each is. The first
# that fails ends all, unless KEEP_GOING=1; either way the end is `exit 2`.
run_parallel() {
    local status=0
    _run_jobs "$@"
    ((status == 0)) || exit "$status"
}

# run_all_parallel LABEL COUNTER FUNCTION FOLDERS...: run_parallel for all, whatever fails, which sets `failed`.
run_all_parallel() {
    local status=0
    KEEP_GOING=1 _run_jobs "$@"
    ((status == 0 || status == 2)) || exit "$status" # stopped
    # shellcheck disable=SC2034 # the script's
    ((status == 0)) || failed=2
}

_run_jobs() { # sets `status`; each job gets this shell's variables, functions and options
    local pool
    ON_GPU=${ON_GPU:-} JOBS=${JOBS:-} MAX_UPDATE=${MAX_UPDATE:-} KEEP_GOING=${KEEP_GOING:-} \
        python -m fairseq_latent.shell jobs "${@:1:2}" "$0" "${@:3}" < <(declare -p; declare -f; set +o) 9>&- &
    pool=$!
    trap 'kill "$pool"; wait "$pool"; exit 129' HUP
    trap 'kill "$pool"; wait "$pool"; exit 130' INT
    trap 'kill "$pool"; wait "$pool"; exit 143' TERM
    wait "$pool" || status=$?
    trap - HUP INT TERM
}

# --- tables ----------------------------------------------------------------------------------------------------------

# choose_page RUNS FILE VARIABLES...: sets `page`, where results are shown: PAGE, FILE for those of a script's own settings, and
# a page among the runs if one of the variables is set.
# shellcheck disable=SC2034 # the script's
choose_page() {
    local runs=$1 variable
    page=${PAGE:-$2}
    [[ -z ${PAGE:-} ]] || return 0
    for variable in RUNS DATA "${@:3}"; do
        [[ -z ${!variable:-} ]] || page=$runs/results.md
    done
}

# select_rows ROWS...: sets `rows` (those of ROWS, or all), their `folders`, and of those that were begun or named, in the
# table's order, `shown` and `systems`: HEADING=FOLDER. Uses `runs`, and `heading ROW`.
# shellcheck disable=SC2034,SC2154
select_rows() {
    local row name
    rows=("$@") folders=() shown=() systems=()
    [[ -z ${ROWS:-} ]] || read -ra rows <<<"$ROWS"
    for row in "$@"; do
        [[ " ${rows[*]} " != *" $row "* && ! -d $runs/$row ]] || shown+=("$row")
    done
    for row in "${rows[@]}"; do
        [[ " $* " == *" $row "* ]] || shown+=("$row")
    done
    for row in "${shown[@]}"; do
        name=$(heading "$row") || exit 2
        systems+=("$name=$runs/$row")
    done
    for row in "${rows[@]}"; do folders+=("$runs/$row"); done
}

# print_trainings FUNCTION FOLDERS...: what a table would train, one row after the other.
print_trainings() {
    local folder
    for folder in "${@:2}"; do "$1" "$folder"; done
}
