#!/usr/bin/env bash
# From a bare machine to a results table: set up, prepare real conversations, train a T-CVAE without and with speculative
# sampling (or persona models: --personas), decode, measure, report. Stopped and started again, it goes on where it was.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'HELP'
usage: bash scripts/quickstart.sh [--personas] [--smoke] [--data FILE.jsonl[.gz]] [--lang en|ja|zh|none] [--out DIR] [--no-venv]

  --personas     persona models on a language model with pre-trained weights: without latents, and with a perception
                 variable of the speaker's own and of the partner's profile; much longer than without: each of 60
                 updates takes seconds on two cores
  --smoke        the same way in about a minute: few conversations, a tiny model; its numbers mean nothing
  --data FILE    your own conversations (see README, "Your own data") in place of the packaged chit-chat
  --lang         how words are counted in the scores: en (Moses), ja (MeCab), zh (characters), none (spaces); default en
  --out DIR      where data-bin/ and runs/ go; default: the repository
  --no-venv      use the active environment (FAIRSEQ_LATENT_NO_VENV=1 says the same)

Results: runs/NAME/report/report.html. To start over, remove runs/NAME, data-bin/NAME and data-bin/NAME.text.
HELP
}

name=quickstart
conversations=
out=$ROOT
smoke=0 personas=0
export SCORE_LANGUAGE=${SCORE_LANGUAGE:-en}
while (($#)); do
    case $1 in
        --personas) personas=1 name=personas ;;
        --smoke) smoke=1 ;;
        --data) option_value "$@"; conversations=$2; shift ;;
        --lang) option_value "$@"; SCORE_LANGUAGE=$2; shift ;;
        --out) option_value "$@"; out=$2; shift ;;
        --no-venv) export FAIRSEQ_LATENT_NO_VENV=1 ;;
        -h | --help) usage; exit 0 ;;
        *) die "quickstart.sh: unknown option $1; remedy: bash scripts/quickstart.sh --help" ;;
    esac
    shift
done
check_language "$SCORE_LANGUAGE"
[[ -z $conversations || -f $conversations ]] || die "--data $conversations: no such file"

bash "$ROOT/scripts/setup.sh"
activate
seconds=$SECONDS

# read_packaged: sets `conversations` to the packaged chit-chat, unless the user gave some.
read_packaged() {
    [[ -z $conversations ]] || return 0
    conversations=$runs/conversations.jsonl
    [[ -f $conversations ]] || run python -m preprocess.corpora chitchat --out "$conversations"
}

first_conversations() { gzip -dcf -- "$1" | awk -v most="$2" 'NR <= most + 1'; } # reads to the end: no broken pipe

# take_few NUMBER: sets `conversations` to so many of them, the first ones.
take_few() {
    write_atomically "$runs/few.jsonl" first_conversations "$conversations" "$1"
    conversations=$runs/few.jsonl
}

if [[ -n $conversations ]]; then
    run python -m preprocess.check "$conversations"
    kind=
    ((!personas)) || kind=-personas
    name=$(basename "${conversations%.gz}" .jsonl)-$(digest <"$conversations" | cut -c1-8)$kind
fi
if ((personas)); then
    source "$ROOT/scripts/quickstart_personas.sh"
    exit 0
fi

# The budget: ten minutes on two CPU cores; every variable can be set from outside.
export MAX_WORDS=${MAX_WORDS:-25} CONTEXT_TURNS=${CONTEXT_TURNS:-1} VOCABULARY=${VOCABULARY:-4000}
export VALID=${VALID:-0.03} TEST=${TEST:-0.05} SEED=${SEED:-1}
export ARCH=${ARCH:-t_cvae_small} MAX_UPDATE=${MAX_UPDATE:-1500} MAX_TOKENS=${MAX_TOKENS:-1500} UPDATE_FREQ=1
export LR=${LR:-3e-3} WARMUP=${WARMUP:-100} LR_SCHEDULER=${LR_SCHEDULER:-polynomial_decay} MAX_LENGTH=${MAX_LENGTH:-30}
# What makes so small a model listen (docs/listening.md); the paper has label smoothing and dropout, and no lexical model.
listening=(--lexical-model --label-smoothing 0 --dropout 0 --attention-dropout 0 --activation-dropout 0)
if ((smoke)); then
    name+=-smoke
    export ARCH=t_cvae_tiny VOCABULARY=500 MAX_UPDATE=30 WARMUP=10 SAMPLES=10 MAX_LENGTH=10 BEAM=2 MAX_TOKENS=500
fi
export DATA=$out/data-bin/$name
runs=$out/runs/$name
make_folders "$runs"

read_packaged
((!smoke)) || take_few 299
run bash "$ROOT/scripts/prepare.sh" "$conversations" "$DATA"

autocast=${AUTOCAST:-$(precision "$runs/precision")} # bfloat16 where the processor is faster with it
evaluations=$((MAX_UPDATE / 4 > 0 ? MAX_UPDATE / 4 : 1))
train_recipe() { # RUN, named after its recipe
    local flags=("${listening[@]}" --autocast "$autocast")
    [[ $autocast == none || $(basename "$1") != speculative* ]] || flags+=(--selection-dtype bfloat16)
    RUN=$1 LOG_INTERVAL=$((MAX_UPDATE / 50 > 0 ? MAX_UPDATE / 50 : 1)) \
        bash "$ROOT/scripts/recipes/$(basename "$1").sh" "${flags[@]}" --validate-interval-updates "$evaluations" \
        --save-interval-updates "$evaluations" --keep-interval-updates 1
}
run_parallel "training" updates train_recipe "$runs/t_cvae" "$runs/speculative_k5"

export TITLE="T-CVAE without and with speculative sampling ($name)"
bash "$ROOT/scripts/evaluate.sh" "$DATA" "$runs/report" "T-CVAE=$runs/t_cvae" "Speculative K=5=$runs/speculative_k5"
say "finished in $((SECONDS - seconds)) s after set-up. Open $runs/report/report.html"
