# shellcheck shell=bash
# Files of the scripts: written whole, locked, and one line for what a disk says against them. Sourced by lib.sh.

# cannot_write FILE WORDS: what bash, mkdir or head said, as one line.
cannot_write() {
    local words=${2##*$'\n'}
    die "$1: ${words##*: }; remedy: free space, or a folder that you may write to; then start again"
}

# attempt FILE COMMAND...: a command that writes FILE and nothing else to its output.
attempt() {
    local file=$1 words
    shift
    words=$("$@" 2>&1) || cannot_write "$file" "$words"
}

make_folders() { attempt "$1" mkdir -p "$@"; }

# put FILE COMMAND...: the command's output becomes FILE, whole or not at all. What killed processes left of it is removed.
put() {
    local file=$1 words part stem left
    stem=$(dirname "$file")/.$(basename "$file")
    for left in "$stem".*.part; do
        words=${left#"$stem".}
        [[ ! -f $left || ! ${words%.part} =~ ^[0-9]+$ ]] || kill -0 "${words%.part}" 2>/dev/null || rm -f "$left"
    done
    part=$stem.${BASHPID:-$RANDOM}.part
    shift
    words=$({ "$@" >"$part" && mv "$part" "$file"; } 2>&1) || {
        rm -f "$part"
        cannot_write "$file" "$words"
    }
}

# lock FILE refuse|wait MESSAGE: hold FILE with descriptor 9, which children inherit, if nobody else does; else say MESSAGE, and
# end or wait. Where a machine has no flock, nothing is held.
lock() {
    attempt "$1" touch "$1"
    exec 9>>"$1"
    ! command -v flock >/dev/null || flock -n 9 || {
        ! flock -w 3 9 || return 0 # one that was killed takes a moment to go
        [[ $2 != refuse ]] || die "$3"
        say "$3: waiting for it"
        flock 9
    }
}

# hold FOLDER, release: a short lock of what is measured or made there; another process waits. Children do not inherit it: what
# outlives its script publishes nothing.
hold() {
    attempt "$1/measure.lock" touch "$1/measure.lock"
    exec 7>>"$1/measure.lock"
    ! command -v flock >/dev/null || flock -n 7 || {
        say "another process measures $1: waiting for it"
        flock 7
    }
}
release() { exec 7>&-; }

# last_words LOG: why a command failed, by what it wrote there.
last_words() {
    local words
    words=$(grep -E '^error: ' "$1" 2>/dev/null | tail -n 1)
    [[ -n $words ]] || words=$(tail -n 1 "$1" 2>/dev/null)
    printf '%s' "${words:-it wrote nothing to $1: is the disk full?}"
}

# whole FILE INPUTS... -- COMMAND...: the command's standard output becomes FILE, at the end and only if it succeeds. Not
# repeated, unless the command is another one or an input is newer than the command's last start. Of two processes that make a
# file of one folder, the second waits, and finds it made.
whole() {
    local file=$1 command part=$1.${BASHPID:-$RANDOM}.part inputs=()
    shift
    while [[ $1 != -- ]]; do
        inputs+=("$1")
        shift
    done
    shift
    command=$(printf '%q ' "$@")
    hold "$(dirname "$file")"
    if _is_made; then
        release
        return
    fi
    printf '%s+ %s> %s\n' "$(_line_start)" "$command" "$file" >&2
    rm -f "$file".*.part "$file".*.part.command # of processes that were killed: those that live hold the folder
    put "$part.command" printf '%s' "$command"
    "$@" >"$part" 2>"$file.err" 7>&- || die "$1 failed: $(last_words "$file.err"); all of it: $file.err"
    attempt "$file" mv "$part" "$file"
    attempt "$file" mv "$part.command" "$file.command" # last: a file without its command is made again
    rm -f "$file.err"
    release
}

_is_made() { # of `whole`
    local input
    for input in ${inputs[@]+"${inputs[@]}"}; do
        [[ ! $input -nt $file.command ]] || return 1
    done
    [[ -s $file && -f $file.command && $(<"$file.command") == "$command" ]]
}
