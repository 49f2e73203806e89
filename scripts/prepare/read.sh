# shellcheck shell=bash
# What the scripts beside it share: archives, which a user has to have, become conversations.jsonl. Sourced, never run.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

case ${1:-} in # of the script that sources this one: what it says of itself
    -h | --help)
        sed -n '2,\|^set|s|^# ||p' "$0"
        echo "In all: DATA, the folder that is made; READ_FLAGS of the reader; the variables of scripts/prepare.sh."
        exit 0
        ;;
esac

# archives MOST WHAT PATHS...: one path to `MOST` of them; what is missing is missed before any work.
archives() {
    local most=$1 remedy path
    remedy="bash scripts/prepare/$(basename "$0") FILE; it needs $2"
    shift 2
    (($#)) || die "no archive is given; remedy: $remedy"
    (($# <= most)) || die "${*:most+1}: more than $most of them; remedy: $remedy"
    for path in "$@"; do
        [[ -e $path ]] || die "$path: no such file or folder; remedy: $remedy"
    done
}

# goes_to NAME: sets `data`, the folder that is made, and `text`, where what lies between stays.
goes_to() {
    local name=$1
    [[ ${PERSONAS:-no} == no ]] || name+=_personas
    data=${DATA:-$ROOT/data-bin/$name}
    data=${data%/}
    text=$data.text
    [[ ! -e $data || -d $data ]] || die "DATA=$data is a file; remedy: the name of a folder to make"
}

# What archives are: one file its contents; several, and those of folders, their names and sizes.
fingerprint() {
    if (($# == 0)); then
        printf 'packaged'
    elif [[ $# -eq 1 && -f $1 ]]; then
        digest <"$1"
    else
        find -L "$@" -type f -exec wc -c {} + |
            sed '/^ *[0-9]* total$/d; s/^ *\([0-9]*\) \(.*\/\)*/\1 /' | LC_ALL=C sort | digest
    fi
}

# conversations NAME PATHS... -- READER FLAGS...: $text/NAME.jsonl, read once; one that was read in another way is refused.
# Flags in the array `resources` change the time that it takes, never the result.
resources=()
conversations() {
    local file=$text/$1.jsonl paths=() flags note
    shift
    while [[ $1 != -- ]]; do
        paths+=("$1")
        shift
    done
    read -ra flags <<<"${READ_FLAGS:-}"
    set -- "${@:2}" ${flags[@]+"${flags[@]}"}
    note="$* of $(fingerprint ${paths[@]+"${paths[@]}"})"
    make_folders "$text"
    (
        lock "$text/lock" wait "another process prepares $data"
        if [[ -f $file ]]; then
            [[ $(cat "$file.from" 2>/dev/null) == "$note" ]] ||
                die "$file was read from other archives or with other flags, not preprocess.corpora $*;" \
                    "remedy: DATA=another folder, or remove $data and $text"
            exit 0
        fi
        rm -f "$text"/.*.part # of a process that was killed
        write_atomically "$file.from" printf '%s\n' "$note"
        run python -m preprocess.corpora "$1" ${paths[@]+"${paths[@]}"} "${@:2}" ${resources[@]+"${resources[@]}"} --out "$file"
    )
}

# shellcheck disable=SC2034 # the script's
# official_split ARCHIVE READER VALID: reads the three splits as they were published; with OFFICIAL=0 all there is, to be split by
# conversation. VALID is the validation split's name. Sets `conversations`, what train is made of.
official_split() {
    local split
    [[ ${OFFICIAL:=1} == [01] ]] || die "OFFICIAL=$OFFICIAL is neither 0 nor 1; remedy: 0 for a split by conversation"
    if [[ $OFFICIAL == 0 ]]; then
        conversations=conversations
        conversations conversations "$1" -- "$2"
        return
    fi
    for split in train "$3" test; do
        conversations "$split" "$1" -- "$2" --split "$split"
    done
    conversations=train
    export VALID=${VALID:-$text/$3.jsonl} TEST=${TEST:-$text/test.jsonl}
}

# prepare_tweets LANGUAGE FLAG ARCHIVES...: reply chains of two people; tweets are cleaned as they are read, to 2 to 256 words.
# Split by time and with references, or, with PERSONAS=yes, by conversation and with profiles out of what users say elsewhere.
prepare_tweets() {
    local language=$1 flag=$2 name from test_from until references
    shift 2
    archives 1000000 "tweets of your own, in files or folders: JSON lines of the API v1.1 or v2, or tab-separated daily files; \
they may not be passed on, so nobody publishes them" "$@"
    activate
    goes_to "twitter_$language"
    if [[ ${PERSONAS:-no} == yes ]]; then
        for name in FROM TEST_FROM UNTIL REFERENCES; do
            [[ -z ${!name:-} ]] || die "$name is not for PERSONAS=yes, which splits by conversation; remedy: leave it out"
        done
        export SELF_DESCRIPTIONS=${SELF_DESCRIPTIONS:-yes} VECTOR_DIMENSION=${VECTOR_DIMENSION-}
        export VALID=${VALID:-0.01} TEST=${TEST:-0.01}
    else # years; 1 % of the earlier ones is valid
        from=${FROM-2017-01-01} test_from=${TEST_FROM-2019-01-01} until=${UNTIL-2020-01-01} references=${REFERENCES-3}
        SPLIT_FLAGS="${from:+--from $from} ${test_from:+--test-from $test_from} ${until:+--until $until} \
${references:+--references $references} ${SPLIT_FLAGS:-}"
        export SPLIT_FLAGS VALID=${VALID:-0.01} TEST=${TEST:-${test_from:+all}}
    fi
    resources=(${MEMORY:+--memory "$MEMORY"})
    export MAX_WORDS=${MAX_WORDS:-256} CLEAN_FLAGS=${CLEAN_FLAGS:-none}
    conversations conversations "$@" -- tweets --clean --lang "$language" ${flag:+"$flag"} --min-words "${MIN_WORDS:-2}" \
        --max-words "$MAX_WORDS"
    # subwords    16,000 of a million sentences, and their vectors
    export VOCABULARY=${VOCABULARY:-16000} VECTOR_DIMENSION=${VECTOR_DIMENSION-512}
    prepare conversations
}

# prepare NAME: clean, split, learn subwords, binarise.
prepare() { run bash "$ROOT/scripts/prepare.sh" "$text/$1.jsonl" "$data"; }
