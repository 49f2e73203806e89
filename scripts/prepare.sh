#!/usr/bin/env bash
# conversations.jsonl -> data-bin/NAME: clean, split, learn subwords, binarise. Goes on where it stopped.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -eq 2 ]] || die "usage: bash scripts/prepare.sh CONVERSATIONS.jsonl[.gz] DATA_BIN_FOLDER
  variables: VOCABULARY=16000 CONTEXT_TURNS=1 MAX_WORDS=100 VALID=0.05 TEST=0.05 SEED=1 COVERAGE=1.0 SAMPLES=100
             VALID and TEST: shares, numbers of conversations, or files of conversations (an official split);
             TEST=all: with --test-from, all from then on
             CLEAN_FLAGS and SPLIT_FLAGS: further flags of preprocess.clean and of preprocess.split;
             CLEAN_FLAGS=none: the conversations are clean as they are
             SUBWORDS=DATA_BIN: the subword tokens of a data set that was prepared before, in place of VOCABULARY and COVERAGE:
             what is trained on one goes on on the other
             VECTOR_DIMENSION=512: also learn word vectors, DATA_BIN_FOLDER/vectors.txt, for the recipes' VECTORS
             PERSONAS=yes: a persona data set, from conversations with a profile of both speakers; then also
             SELF_DESCRIPTIONS=yes: profiles out of what each speaker says in other conversations of training;
             SELF_DESCRIPTION_FLAGS: further flags of preprocess.self_descriptions;
             PERSONA_FLAGS: further flags of preprocess.personas, in place of CONTEXT_TURNS and SPLIT_FLAGS;
             WORD_VECTORS=FILE: similarity by these; GPT2=FOLDER: its tokens in place of SentencePiece's
  The text in between stays in DATA_BIN_FOLDER.text. To start over, remove both folders."
conversations=$1
destination=${2%/}
text=$destination.text
activate

is_file() { [[ $1 == *.jsonl || $1 == *.jsonl.gz ]]; }
noted() { if is_file "$1"; then digest <"$1"; else printf '%s' "$1"; fi; }
[[ ! -e $destination || -d $destination ]] || die "$destination is a file; remedy: the name of a folder to make"
for file in "$conversations" "${VALID:=0.05}" "${TEST:=0.05}"; do
    if [[ $file == "$conversations" ]] || is_file "$file"; then
        [[ -f $file ]] || die "$file: no such file; remedy: a conversations.jsonl (python -m preprocess.check FILE)"
    fi
done
read -ra clean_flags <<<"${CLEAN_FLAGS:-}"
read -ra split_flags <<<"${SPLIT_FLAGS:-}"
for name in PERSONAS SELF_DESCRIPTIONS; do
    case ${!name:=no} in yes | no) ;; *) die "$name=${!name} is unknown; remedy: yes or no" ;; esac
done
encoded=$text/spm made=$text/split.json fields=(src tgt)
if [[ -n ${SUBWORDS:-} ]]; then
    [[ -z ${GPT2:-} ]] || die "SUBWORDS and GPT2 are both set; remedy: one of them"
    [[ -f $SUBWORDS/spm.model && -f $SUBWORDS/dict.src.txt ]] ||
        die "SUBWORDS=$SUBWORDS has no spm.model and dict.src.txt; remedy: a folder that scripts/prepare.sh made, without GPT2"
    VOCABULARY=SUBWORDS COVERAGE=SUBWORDS # whatever they were
fi
if [[ $PERSONAS == yes ]]; then
    for name in SPLIT_FLAGS CONTEXT_TURNS; do
        [[ -z ${!name:-} ]] || die "$name is not for PERSONAS=yes; remedy: PERSONA_FLAGS (python -m preprocess.personas --help)"
    done
    [[ -z ${VECTOR_DIMENSION:-} || -z ${GPT2:-} ]] || die "VECTOR_DIMENSION is for SentencePiece; remedy: leave it out, or GPT2"
    [[ -z ${WORD_VECTORS:-} || -f $WORD_VECTORS ]] || die "WORD_VECTORS=$WORD_VECTORS: no such file; remedy: word vectors"
    [[ -z ${SELF_DESCRIPTION_FLAGS:-} || $SELF_DESCRIPTIONS == yes ]] ||
        die "SELF_DESCRIPTION_FLAGS without SELF_DESCRIPTIONS=yes; remedy: both, or neither"
    made=$text/personas.json fields+=(partner own)
    [[ -z ${GPT2:-} ]] || encoded=$text/bpe
else
    [[ $SELF_DESCRIPTIONS == no ]] || die "SELF_DESCRIPTIONS is for persona data sets; remedy: PERSONAS=yes, or leave it out"
    for name in PERSONA_FLAGS SELF_DESCRIPTION_FLAGS WORD_VECTORS GPT2; do
        [[ -z ${!name:-} ]] || die "$name is for persona data sets; remedy: PERSONAS=yes, or leave it out"
    done
fi
read -ra persona_flags <<<"${PERSONA_FLAGS:-}"
read -ra description_flags <<<"${SELF_DESCRIPTION_FLAGS:-}"
tokenizer_files=(encoder.json vocab.bpe vocab.json merges.txt tokenizer.json spiece.model)
tokenizer() { for file in "${tokenizer_files[@]}"; do [[ ! -f $GPT2/$file ]] || cat "$GPT2/$file"; done; }
[[ -z ${GPT2:-} || -n $(tokenizer | head -c 1) ]] ||
    die "GPT2=$GPT2 has no tokenizer files; remedy: a folder with encoder.json and vocab.bpe (python -m preprocess.gpt2_bpe --help)"
[[ $TEST != all || " ${split_flags[*]-}" == *" --test-from"[\ =]* ]] ||
    die "TEST=all is for a border in time; remedy: SPLIT_FLAGS='--test-from 2019-01-01', or another TEST"
options="VOCABULARY=${VOCABULARY:=16000}
CONTEXT_TURNS=${CONTEXT_TURNS:=1}
MAX_WORDS=${MAX_WORDS:=100}
VALID=$(noted "$VALID")
TEST=$(noted "$TEST")
SEED=${SEED:=1}
COVERAGE=${COVERAGE:=1.0}
SAMPLES=${SAMPLES:=100}
INPUT=$(digest <"$conversations")"
# what is not set is not noted: folders that were prepared before these variables came stay as good as they were
note() { [[ -z $2 || $2 == no ]] || options+=$'\n'"$1=$2"; }
note CLEAN_FLAGS "${clean_flags[*]-}"
note SPLIT_FLAGS "${split_flags[*]-}"
note VECTOR_DIMENSION "${VECTOR_DIMENSION:-}"
note PERSONAS "$PERSONAS"
note PERSONA_FLAGS "${persona_flags[*]-}"
note SELF_DESCRIPTIONS "$SELF_DESCRIPTIONS"
note SELF_DESCRIPTION_FLAGS "${description_flags[*]-}"
note WORD_VECTORS "${WORD_VECTORS:+$(digest <"${WORD_VECTORS:-}")}"
note GPT2 "${GPT2:+$(tokenizer | digest)}"
note SUBWORDS "${SUBWORDS:+$(digest <"${SUBWORDS:-}/spm.model")}"

# refuse_others FOLDER OPEN FILES...: a folder with any of these files must have been made with the options of now, but for
# those named in OPEN (A|B), with which nothing in it was made yet.
refuse_others() {
    local folder=$1 open="^($2)=" remedy="another DATA_BIN_FOLDER, or remove $destination and $text" file now before
    shift 2
    if [[ -f $folder/prepare.options ]]; then
        now=$(grep -vxFf "$folder/prepare.options" <<<"$options" | grep -vE "$open" | paste -s -d ' ' -) || true
        before=$(grep -vxFf - "$folder/prepare.options" <<<"$options" | grep -vE "$open" | paste -s -d ' ' -) || true
        [[ -n $now$before ]] || return 0
        die "$folder was prepared with other options or input${before:+ ($before)}, not ${now:-the default}; remedy: $remedy"
    fi
    for file in "$@"; do
        [[ ! -e $file ]] || die "$folder does not say how it was prepared (no prepare.options); remedy: $remedy"
    done
}

# clean_into FILE CONVERSATIONS: sets `clean` to what is clean of them.
clean_into() {
    clean=$2
    [[ ${clean_flags[*]-} != none ]] || return 0
    clean=$1
    [[ -f $clean ]] ||
        run python -m preprocess.clean "$2" --out "$clean" --max-words "$MAX_WORDS" ${clean_flags[@]+"${clean_flags[@]}"}
}

# make_split NAME CONVERSATIONS: a file of their own becomes the split valid or test, cleaned like the others.
make_split() {
    local field
    is_file "$2" && [[ ! -f $text/$1.split.json ]] || return 0
    clean_into "$text/$1.clean.jsonl" "$2"
    rm -rf "$text/$1.part"
    run python -m preprocess.split "$clean" --out "$text/$1.part" --context-turns "$CONTEXT_TURNS" --as "$1"
    for field in src tgt ids turns; do
        [[ ! -f $text/$1.part/$1.$field ]] || attempt "$text/$1.$field" mv "$text/$1.part/$1.$field" "$text/$1.$field"
    done
    attempt "$text/$1.split.json" mv "$text/$1.part/split.json" "$text/$1.split.json" # last: without it the split is made again
    rmdir "$text/$1.part"
}

# split_pairs: turns and what is answered to them, in three splits.
split_pairs() {
    local shares=()
    if is_file "$VALID"; then shares+=(--valid 0); else shares+=(--valid "$VALID"); fi
    if is_file "$TEST"; then shares+=(--test 0); elif [[ $TEST != all ]]; then shares+=(--test "$TEST"); fi
    [[ -f $made ]] ||
        run python -m preprocess.split "$clean" --out "$text" --seed "$SEED" --context-turns "$CONTEXT_TURNS" \
            "${shares[@]}" ${split_flags[@]+"${split_flags[@]}"}
    make_split valid "$VALID"
    make_split test "$TEST"
}

# describe_selves NAME FLAGS...: sets `clean` to the conversations of `clean` with profiles, made again as long as `made` is not.
describe_selves() {
    local name=$1
    shift
    run python -m preprocess.self_descriptions "$clean" --out "$text/$name.jsonl" --report "$text/$name.txt" --seed "$SEED" \
        "${shares[@]}" "$@" ${description_flags[@]+"${description_flags[@]}"}
    clean=$text/$name.jsonl
}

# split_personas: contexts, responses, and the profiles of both.
split_personas() {
    [[ ! -f $made ]] || return 0
    local train=$clean shares=() splits=() split clean share
    for split in valid test; do
        share=${split^^}
        share=${!share}
        if is_file "$share"; then shares+=("--$split" 0); else shares+=("--$split" "$share"); fi
    done
    for split in valid test; do
        share=${split^^}
        share=${!share}
        if is_file "$share"; then
            clean_into "$text/$split.clean.jsonl" "$share"
            [[ $SELF_DESCRIPTIONS == no ]] || describe_selves "$split.profiles" --history "$train"
            share=$clean
        fi
        splits+=("--$split" "$share")
    done
    clean=$train
    [[ $SELF_DESCRIPTIONS == no ]] || describe_selves profiles
    run python -m preprocess.personas "$clean" --out "$text" --seed "$SEED" "${splits[@]}" ${GPT2:+--gpt2 "$GPT2"} \
        ${WORD_VECTORS:+--similarity embedding --vectors "$WORD_VECTORS"} ${persona_flags[@]+"${persona_flags[@]}"}
}

# subwords: all fields as tokens of GPT-2, or as subword tokens that are learnt from them.
subwords() {
    [[ ! -f $encoded/dict.txt ]] || return 0
    if [[ -n ${GPT2:-} ]]; then
        run python -m preprocess.gpt2_bpe "$text" --gpt2 "$GPT2" --out "$encoded"
    elif [[ -n ${SUBWORDS:-} ]]; then
        run python -m preprocess.subwords "$text" --model "$SUBWORDS"
    else
        run python -m preprocess.subwords "$text" --vocab-size "$VOCABULARY" --seed "$SEED" --character-coverage "$COVERAGE"
    fi
}

# binarise FLAGS...: fairseq-preprocess with our dictionary, its output in a log.
binarise() {
    logged "$text/fairseq-preprocess.log" fairseq-preprocess "$@" --srcdict "$encoded/dict.txt" "${prefixes[@]}" \
        --destdir "$text/data-bin.part" --workers "$(cores)"
}

# copy FILE: into the folder that is made.
copy() { write_atomically "$text/data-bin.part/$(basename "$1")" cat "$1"; }

# copy_lines FIELD...: what fairseq has no name for, a line per pair, into the folder that is made.
copy_lines() {
    local field split
    for field in "$@"; do
        for split in train valid test; do
            [[ ! -f $text/$split.$field ]] || copy "$text/$split.$field"
        done
        [[ ! -f $text/test.$field ]] || write_atomically "$text/data-bin.part/test1.$field" head -n "$SAMPLES" "$text/test.$field"
    done
}

# binarise_personas: profiles of their own, plain numbers, and candidates if any.
binarise_personas() {
    local field
    for field in partner own; do
        binarise --only-source --source-lang "$field"
    done
    copy_lines fader own_fader candidates
    copy "$text/personas.json"
}

# not_made: names of the options with which nothing in $text was made yet: after a mistake in them it goes on from there
not_made() {
    local names=SAMPLES
    [[ -f $text/vectors.txt ]] || names+='|VECTOR_DIMENSION'
    [[ -f $encoded/dict.txt ]] || names+='|VOCABULARY|COVERAGE|SUBWORDS'
    [[ -f $made ]] || names+='|CONTEXT_TURNS|VALID|TEST|SEED|SPLIT_FLAGS|PERSONA_FLAGS|SELF_DESCRIPTIONS|SELF_DESCRIPTION_FLAGS|WORD_VECTORS|GPT2'
    [[ -f $made || -f $text/clean.jsonl ]] || names+='|MAX_WORDS|CLEAN_FLAGS|INPUT'
    printf '%s' "$names"
}

refuse_others "$destination" NONE "$destination"/*
make_folders "$text"
lock "$text/lock" wait "another process prepares $destination"
refuse_others "$text" "$(not_made)" "$text/clean.jsonl" "$text/train.src" "$text/spm" "$text/bpe"
rm -f "$text"/.*.part "$encoded"/.*.part # of a process that was killed
write_atomically "$text/prepare.options" printf '%s\n' "$options"
if [[ -f $destination/prepare.options ]]; then
    say "$destination is prepared"
    exit 0
fi
clean_into "$text/clean.jsonl" "$conversations"
if [[ $PERSONAS == yes ]]; then split_personas; else split_pairs; fi
subwords
[[ -z ${VECTOR_DIMENSION:-} || -f $text/vectors.txt ]] ||
    run python -m preprocess.vectors "$text/spm" --out "$text/vectors.txt" --dimension "$VECTOR_DIMENSION" --seed "$SEED"
prefixes=(--trainpref "$encoded/train")
[[ ! -f $encoded/valid.src ]] || prefixes+=(--validpref "$encoded/valid") # none with VALID=0
if [[ -f $encoded/test.src ]]; then
    prefixes+=(--testpref "$encoded/test,$encoded/samples")
    for field in "${fields[@]}"; do # a few test contexts, for which reports show several responses
        write_atomically "$encoded/samples.$field" head -n "$SAMPLES" "$encoded/test.$field"
    done
fi
rm -rf "$text/data-bin.part" "$text/fairseq-preprocess.log"
binarise --source-lang src --target-lang tgt --joined-dictionary
[[ $PERSONAS == no ]] || binarise_personas
copy_lines ids # the dialogue of each pair: strangers are of others, and intervals over dialogues
copy "$text/prepare.options"
for file in spm.model "${tokenizer_files[@]}"; do
    [[ ! -f $encoded/$file ]] || copy "$encoded/$file"
done
[[ -z ${VECTOR_DIMENSION:-} ]] || copy "$text/vectors.txt"
[[ ! -d $destination ]] || attempt "$destination" rmdir "$destination" # empty, or it was refused above
attempt "$destination" mv "$text/data-bin.part" "$destination"
say "$(grep -c '' "$text/train.src") training pairs -> $destination"
[[ ! -f $destination/vectors.txt ]] || say "word vectors: VECTORS=$destination/vectors.txt bash scripts/recipes/..."
[[ ! -f $text/test.ref1 ]] ||
    say "several references: fairseq-latent score NAME=FILE --reference $text/test.tgt $text/test.ref*"
