#!/usr/bin/env bash
# Table 1 of Cho et al. (2022) on what is at hand: their six systems and two of ours, on one pre-trained language model and one
# budget, on one corpus with profiles, by all measures. Each system and seed that is finished leaves a record, a small text file
# RECORDS/CORPUS/SYSTEM.SEED.json: what has one is not trained again, and the page is made of records alone.
# VECTORS=FILE bash scripts/tables/paper1_table1.sh FILE...     the corpus, as for its script in scripts/prepare
# VECTORS=FILE SYSTEMS=dialogpt SEEDS="2 3" bash scripts/tables/paper1_table1.sh FILE...     more seeds of one system
# SHOW=1 only shows what there is.
# Variables: CORPUS=convai2|synthetic_persona_chat|realpersonachat|chitchat SYSTEMS SEEDS JOBS SHOW VECTORS DATA RUNS AUTOCAST
# KEEP_CHECKPOINTS=1 (else the last ones go when the record is there), and those after which records and page are in RUNS, not
# among the documents: RECORDS PAGE, LM_PATH (default: SmolLM2-135M, fetched; none: small models with random weights), ENCODER
# (of sentences; default: MiniLM, fetched), TRAIN_BLOCKS=15, LR=2e-4, MAX_UPDATE=60 BATCH_SIZE=16 UPDATE_FREQ=2 (what every system on
# a language model sees: 1,920 responses, with its measures about half an hour of one core), RNN_UPDATES (at most; validation ends
# HRED and CVAE before), RECEIVER_UPDATES EPISODES (P²BOT's further stages), DIALOGUES=50 (of test, on which perplexity, worth
# and Hits@1 are measured; responses are decoded to all) PRIOR_SAMPLES TEST_RESPONSES CANDIDATES SWEEP_STEPS EMBED_DIM LAYERS HEADS
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
parse_arguments 2 "$@"
activate persona_dialogue

all=(dialogpt ours own transfertransfo hred cvae paper p2bot) # in the order in which they are trained
rows=(hred cvae transfertransfo dialogpt p2bot paper ours own)
corpus=${CORPUS:-convai2} language=en
case $corpus in
    convai2) title="ConvAI2's official validation file" ;;
    synthetic_persona_chat) title="Synthetic-Persona-Chat" ;;
    realpersonachat) title="RealPersonaChat" language=ja LM_PATH=${LM_PATH:-none} ;;
    chitchat) title="Chit-chat with profiles from history" ;;
    *) die "CORPUS=$corpus is unknown; remedy: convai2, synthetic_persona_chat, realpersonachat or chitchat" ;;
esac
settings=(LM_PATH ENCODER TRAIN_BLOCKS LR MAX_UPDATE BATCH_SIZE UPDATE_FREQ RNN_UPDATES RECEIVER_UPDATES EPISODES DIALOGUES
    PRIOR_SAMPLES TEST_RESPONSES CANDIDATES SWEEP_STEPS EMBED_DIM LAYERS HEADS)
runs=${RUNS:-$ROOT/runs/table1}/$corpus
records=$ROOT/docs/table1 page=$ROOT/docs/results_table1.md given=''
[[ $corpus == convai2 ]] || given="CORPUS=$corpus "
for variable in "${settings[@]}"; do
    [[ -n ${!variable:-} && $variable$corpus != LM_PATHrealpersonachat ]] || continue
    records=$runs/records page=$runs/results.md given+="$variable=${!variable} "
done
records=${RECORDS:-$records}/$corpus page=${PAGE:-$page}

# heading SYSTEM: its name in the tables; that of a system which the paper has is the paper's.
heading() {
    case $1 in
        hred) echo "HRED" ;;
        cvae) echo "CVAE" ;;
        transfertransfo) echo "TransferTransfo" ;;
        dialogpt) echo "DialoGPT" ;;
        p2bot) echo "P²BOT" ;;
        paper) echo "the paper's model" ;;
        ours) echo "ours" ;;
        own) echo "ours, own profile" ;;
        *) die "SYSTEMS: $1 is no system; remedy: ${rows[*]}" ;;
    esac
}

read -ra systems <<<"${SYSTEMS:-${all[*]}}"
read -ra seeds <<<"${SEEDS:-1}"
for system in "${systems[@]}"; do heading "$system" >/dev/null || exit 2; done
for seed in "${seeds[@]}"; do
    [[ $seed =~ ^(0|[1-9][0-9]{0,8})$ ]] || die "SEEDS: $seed is no seed; remedy: SEEDS=\"1 2 3\""
done

show() { # the page, from all records of the corpus
    local names=() found=() system file paper=()
    for system in "${rows[@]}"; do names+=("$(heading "$system")"); done
    for file in "$records"/*.json; do [[ ! -f $file ]] || found+=("$file"); done
    if ((!${#found[@]})); then
        say "$records has no records yet"
        return 0
    fi
    [[ $corpus != convai2 ]] || paper=(--beside-paper)
    run fairseq-latent compare "${found[@]}" --rows "${names[@]}" --baseline DialoGPT --page "$page" --part "$corpus" \
        --title "$title" ${paper[@]+"${paper[@]}"} >&2 || exit 2
}
show
[[ -z ${SHOW:-} ]] || exit 0

# to do       what has no record yet, one seed of all systems before the next
folders=()
for seed in "${seeds[@]}"; do
    for system in "${systems[@]}"; do
        [[ -f $records/$system.$seed.json ]] || folders+=("$runs/$system.$seed")
    done
done
((${#folders[@]})) || exit 0

vectors=${VECTORS:-}
[[ -z $vectors || -f $vectors ]] || die "VECTORS=$vectors: no such file; remedy: a file of word vectors"
[[ -n $vectors${DRY_RUN:-} || $language != en ]] ||
    die "VECTORS is not set; remedy: VECTORS=FILE, word vectors for P.Distance, e.g. glove.6B.50d.w2v.txt.gz"
# body        a pre-trained language model, its words frozen, its top blocks trained; or a GPT-2 of 2 million random weights
lm=${LM_PATH:-$ROOT/runs/smollm2} encoder=${ENCODER:-$ROOT/runs/minilm}
[[ $lm != none ]] || lm=''
[[ $encoder != none ]] || encoder=''
fetch() { # NAME FOLDER, unless it is another one
    [[ $2 != "$ROOT/runs/$1" || -d $2 || -n ${DRY_RUN:-} ]] || run fairseq-latent weights "$1" "$2" || exit 2
}
fetch smollm2 "$lm"
fetch minilm "$encoder"
size=() latent_size=() suffix='' blocks=(--train-blocks "${TRAIN_BLOCKS:-15}")
if [[ -z $lm ]]; then
    suffix=_tiny blocks=()
    size=(--embed-dim "${EMBED_DIM:-192}" --layers "${LAYERS:-4}" --heads "${HEADS:-4}" --positions 512 --attention-dropout 0)
    latent_size=(--latent-encoder-heads "${HEADS:-4}" --latent-encoder-ffn-dim "$((4 * ${EMBED_DIM:-192}))")
fi
export DATA=${DATA:-$ROOT/data-bin/table1_$corpus}
text=$DATA.text
if [[ -z ${DRY_RUN:-} && ! -f $DATA/dict.src.txt ]]; then
    (($#)) || [[ $corpus == chitchat ]] ||
        die "DATA=$DATA is not prepared; remedy: bash scripts/tables/paper1_table1.sh FILE, as for scripts/prepare/$corpus.sh"
    GPT2=$lm PERSONAS=yes WORD_VECTORS=$vectors run bash "$ROOT/scripts/prepare/$corpus.sh" "$@" || exit 2
fi
noted=$(sed -n "s/^WORD_VECTORS=//p" "$DATA/prepare.options" 2>/dev/null) || true
[[ -z $noted || -z $vectors || $noted == "$(digest <"$vectors")" ]] || # faders and P.Distance are by the same
    die "$DATA was prepared with other WORD_VECTORS; remedy: VECTORS=these, or DATA=another folder"
# precision   bfloat16 in training, decoding and measuring where the processor is faster with it (AUTOCAST=none: never)
autocast=${AUTOCAST:-$(precision "$runs/precision")}
# budget      the learning rate is nothing at the end, so that validation only shows how far a training is: a part will do
updates=${MAX_UPDATE:-60} half=$(((${MAX_UPDATE:-60} + 1) / 2))
short=(--max-valid-steps 5 --save-interval-updates "$half" --keep-interval-updates 1)

# recipe NAME RUN FLAGS...: a training by its recipe. Word vectors are for measures alone.
recipe() {
    local low=(--autocast "$autocast")
    [[ $1 != p2bot_2_receiver ]] || low=() # a small encoder in float32
    RUN=$2 VECTORS='' GPT2_PATH=$lm FREEZE=${lm:+yes} LOG_INTERVAL=10 \
        bash "$ROOT/scripts/recipes/$1.sh" ${low[@]+"${low[@]}"} --num-workers 0 "${@:3}" || exit 2
}

train_system() ( # SYSTEM SEED RUN
    local frozen=(${lm:+--freeze-embeddings}) rnn=(--keep-interval-updates 1)
    export SEED=$2 MAX_UPDATE=$updates BATCH_SIZE=${BATCH_SIZE:-16} UPDATE_FREQ=${UPDATE_FREQ:-2} LR=${LR:-2e-4}
    case $1 in
        dialogpt | transfertransfo)
            ARCH=$1$suffix recipe "persona_$1" "$3" ${size[@]+"${size[@]}"} ${blocks[@]+"${blocks[@]}"} "${short[@]}"
            ;;
        paper)
            ARCH=persona_cvae_gpt2$suffix recipe persona_full "$3" ${size[@]+"${size[@]}"} ${latent_size[@]+"${latent_size[@]}"} \
                ${blocks[@]+"${blocks[@]}"} "${short[@]}"
            ;;
        ours | own)
            PROFILE_OF=${1/ours/partner} LM_PATH=$lm TRAIN_BLOCKS='' ARCH=persona_cvae_gpt2$suffix recipe persona_ours "$3" \
                ${size[@]+"${size[@]}"} ${latent_size[@]+"${latent_size[@]}"} ${blocks[@]+"${blocks[@]}"} "${short[@]}"
            ;;
        hred) # from nothing, on the same tokens; validation ends them
            lm='' LR=1e-3 BATCH_SIZE=32 UPDATE_FREQ=1 MAX_UPDATE=${RNN_UPDATES:-6300} ARCH=hred_small recipe persona_hred "$3" \
                "${rnn[@]}"
            ;;
        cvae) # the KL weight rises for a tenth of what it may take
            lm='' LR=1e-3 BATCH_SIZE=32 UPDATE_FREQ=1 MAX_UPDATE=${RNN_UPDATES:-6300} KL_WARMUP=$((${RNN_UPDATES:-6300} / 10 + 1)) \
                ARCH=rnn_cvae_small recipe persona_rnn_cvae "$3" "${rnn[@]}" --patience 3
            ;;
        p2bot)
            # replies are never cut, as those of the other systems are not
            frozen+=(--max-reply-tokens 64)
            ARCH=p2bot_transmitter$suffix recipe p2bot_1_transmitter "$3/transmitter" ${size[@]+"${size[@]}"} \
                ${frozen[@]+"${frozen[@]}"} ${blocks[@]+"${blocks[@]}"} "${short[@]}"
            BATCH_SIZE=2 UPDATE_FREQ=1 LR=5e-5 MAX_UPDATE=${RECEIVER_UPDATES:-400} ENCODER_PATH=$encoder ARCH=p2bot_receiver \
                recipe p2bot_2_receiver "$3/receiver" "${short[@]}"
            BATCH_SIZE=6 UPDATE_FREQ=1 LR=1e-6 MAX_UPDATE=${EPISODES:-15} TRANSMITTER=$3/transmitter RECEIVER=$3/receiver \
                REWARD_LM=$lm ARCH=p2bot_transmitter$suffix recipe p2bot_3_self_play "$3" ${size[@]+"${size[@]}"} \
                ${frozen[@]+"${frozen[@]}"} ${blocks[@]+"${blocks[@]}"} --max-valid-steps 5
            ;;
    esac
)

# subwords    they are joined; a language model's tokens become text by the tokenizer in the data folder
joined=(--post-process sentencepiece)
for file in encoder.json vocab.json tokenizer.json; do [[ ! -f $DATA/$file ]] || joined=(); done

measure_system() { # SYSTEM NAME RUN
    local checkpoint=$3/checkpoint_best.pt inputs task=persona_dialogue profiles=() sentences=() part=() some=()
    [[ $1 != p2bot ]] || task=self_play
    inputs=("$checkpoint" "$DATA/test.src-tgt.src.idx")
    make_once "$3/generate.test.txt" "${inputs[@]}" -- fairseq-generate "$DATA" "${PLUGIN[@]}" --task "$task" \
        ${DEVICE[@]+"${DEVICE[@]}"} --path "$checkpoint" --gen-subset test --sampling --sampling-topk 4 --sampling-topp 0.8 \
        --beam 1 --latent-samples "${TEST_RESPONSES:-1}" --max-len-b 40 --batch-size 64 ${joined[@]+"${joined[@]}"} \
        --decoding-autocast "$autocast" --seed 1
    [[ -z $vectors ]] || profiles=(--profiles "$text/test.partner" --vectors "$vectors"
        --train-text "$text/train.tgt" "$text/train.partner")
    [[ -z $encoder ]] || sentences=(--encoder "$encoder")
    [[ ${DIALOGUES:-50} == all ]] || some=(--max-dialogues "${DIALOGUES:-50}")
    make_once "$3/scores.json" "$3/generate.test.txt" -- fairseq-latent score "$2=$3/generate.test.txt" --lang "$language" \
        --hypothesis mean --reference "$text/test.tgt" --dialogues "$text/test.ids" ${profiles[@]+"${profiles[@]}"} \
        ${sentences[@]+"${sentences[@]}"} --by-dialogue "$3/scores.by_dialogue.json" --bootstrap 0 --format json
    make_once "$3/latents.test.json" "${inputs[@]}" -- fairseq-latent latents "$DATA" --path "$checkpoint" --split test \
        --seed 1 --prior-samples "${PRIOR_SAMPLES:-1}" ${some[@]+"${some[@]}"} --autocast "$autocast" \
        --by-dialogue "$3/latents.test.by_dialogue.json" --format json \
        ${DEVICE[@]+"${DEVICE[@]}"}
    make_once "$3/rank.test.json" "${inputs[@]}" -- fairseq-latent rank "$DATA" "$checkpoint" \
        --candidates "${CANDIDATES:-20}" --seed 1 --latent-samples "${PRIOR_SAMPLES:-1}" \
        ${some[@]+"${some[@]}"} --autocast "$autocast" \
        --by-dialogue "$3/rank.test.by_dialogue.json" --format json ${DEVICE[@]+"${DEVICE[@]}"}
    [[ -n $vectors && $1 =~ ^(paper|ours|own)$ ]] || return 0
    (($(cut -d: -f1 "$text/test.ids" | sort -u | wc -l) <= 50)) || part=(--dialogues "$text/test.ids")
    make_once "$3/sweep.json" "${inputs[@]}" "$vectors" -- fairseq-latent sweep "$DATA" --path "$checkpoint" \
        --vectors "$vectors" --train-text "$text/train.tgt" "$text/train.partner" ${part[@]+"${part[@]}"} --seeds 1 \
        --steps "${SWEEP_STEPS:-1}" --lang "$language" --autocast "$autocast" --format json ${DEVICE[@]+"${DEVICE[@]}"}
}

make_record() { # RUN, named SYSTEM.SEED
    local system seed name stages=()
    system=$(basename "$1")
    seed=${system##*.} system=${system%.*}
    name=$(heading "$system")
    train_system "$system" "$seed" "$1" || exit 2
    [[ -z ${DRY_RUN:-} ]] || return 0
    measure_system "$system" "$name" "$1"
    [[ $system != p2bot ]] || stages=(--stages "$1/transmitter" "$1/receiver")
    run fairseq-latent record "$name=$1" --training-seed "$seed" ${stages[@]+"${stages[@]}"} \
        --again "VECTORS=FILE ${given}SYSTEMS=$system SEEDS=$seed bash scripts/tables/paper1_table1.sh FILE" \
        --out "$records/$system.$seed.json" >&2 || exit 2
    [[ -n ${KEEP_CHECKPOINTS:-} ]] || find "$1" -name 'checkpoint_*.pt' ! -name checkpoint_best.pt -delete
}

if [[ -n ${DRY_RUN:-} ]]; then
    print_trainings make_record "${folders[@]}"
    exit 0
fi
failed=0
export JOBS=${JOBS:-1} # two at a time need twice the memory
run_all_parallel "training and measuring" updates make_record "${folders[@]}"
show
((!failed)) || die "some systems failed (see above), the page has the others; remedy: correct them and start again"
