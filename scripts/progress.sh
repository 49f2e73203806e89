# shellcheck shell=bash
# How far something long is: a line that is redrawn on a terminal, and elsewhere one every half minute. Sourced by lib.sh.

# watched LABEL COUNTER ARGUMENT LOG COMMAND...: the command with its output in LOG ('' for none), and what `COUNTER ARGUMENT`
# prints after LABEL while it runs. The command stays in the foreground, where Ctrl-C reaches it. What runs beside others shows
# nothing: in_parallel shows them all.
watched() {
    local log=$4 watcher status=0
    _watch "${BASHPID:-$$}" "${@:1:4}" 7>&- 9>&- &
    watcher=$!
    shift 4
    if [[ -n $log ]]; then
        "$@" >>"$log" 2>&1 || status=$?
    else
        "$@" || status=$?
    fi
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    return "$status"
}

_watch() { # PARENT LABEL COUNTER ARGUMENT LOG, until it is ended or its parent is gone
    set +e
    local parent=$1 label=$2 counter=$3 argument=$4 log=$5 drawn=$SECONDS told=0 ended=
    trap 'ended=1' TERM
    while :; do
        [[ -z $log ]] || _tell_warnings
        if [[ -n $ended ]] || ! kill -0 "$parent" 2>/dev/null; then break; fi
        if [[ -n ${IN_PARALLEL:-} || (-t 2 && -z $log) ]]; then
            : # others tell how far they are
        elif [[ -t 2 ]] && ((SECONDS > drawn)); then
            printf '\r\033[K%s  %s' "$label" "$("$counter" "$argument")" >&2
            drawn=$SECONDS
        elif [[ ! -t 2 ]] && ((SECONDS >= drawn + ${PROGRESS_SECONDS:-30})); then
            printf '%s  %s\n' "$label" "$("$counter" "$argument")" >&2
            drawn=$SECONDS
        fi
        sleep 0.5 >/dev/null 2>&1 &
        wait $!
    done
    [[ -n ${IN_PARALLEL:-} || -z $log ]] || printf '%s' "$(_line_start)" >&2
}

_tell_warnings() { # of ours, once each; sets `told`, the lines of the log that were looked at
    local lines line
    lines=$(wc -l 2>/dev/null <"$log" || echo 0)
    ((lines > told)) || return 0
    sed -n "$((told + 1)),${lines}s/^.*| WARNING | fairseq_latent[a-z_.]* | //p" "$log" | tr -d '\000-\011\013-\037\177' |
        while IFS= read -r line; do printf '%swarning: %s: %s\n' "$(_line_start)" "$label" "$line" >&2; done
    told=$lines
}

# On a terminal, where a line begins: over the progress that may stand there.
_line_start() { [[ ! -t 2 ]] || printf '\r\033[K'; }

# since SECOND: the time that has passed.
since() { printf '%s so far' "$(span $((SECONDS - $1)))"; }

span() { # SECONDS
    if (($1 >= 3600)); then
        printf '%d h %d min' $(($1 / 3600)) $(($1 % 3600 / 60))
    elif (($1 >= 60)); then
        printf '%d min %d s' $(($1 / 60)) $(($1 % 60))
    else
        printf '%d s' "$1"
    fi
}

# updates_done RUN [MOST]: of a run in training: updates, how many a second, and the time that is left.
updates_done() {
    local most=${2:-${MAX_UPDATE:-}} last updates rate
    last=$(tail -n 200 "$1/train.log" 2>/dev/null | grep '"num_updates": ' | tail -n 1 || true)
    updates=$(_logged num_updates "$last")
    rate=$(_logged ups "$last")
    [[ $most =~ ^[1-9][0-9]*$ ]] || most=
    printf '%s' "${updates:-0}${most:+/$most} updates"
    [[ $rate =~ ^[0-9]*\.?[0-9]+$ && $rate =~ [1-9] ]] || return 0
    printf ', %s a second' "$rate"
    [[ -z $most ]] || printf ', %s left' "$(span "$(awk "BEGIN { n = ($most - $updates) / $rate; printf \"%d\", (n > 0 ? n : 0) }")")"
}

_logged() { sed -n "s/.*\"$1\": \"\\([0-9.]*\\)\".*/\\1/p" <<<"$2"; } # NAME LINE

lines_decoded() { # of a run that is being decoded
    printf '%s responses' "$(cat "$1"/generate.test.txt* "$1"/samples.test1.txt* 2>/dev/null | grep -c '^H-' || true)"
}
