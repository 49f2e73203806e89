#!/usr/bin/env bash
# Installs everything into .venv (or, with --no-venv, into the active environment): exact versions, no compiler needed.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: bash scripts/setup.sh [--no-venv] [--fairseq-fixed]

  --no-venv         install into the environment that is active now, not into .venv
                    (FAIRSEQ_LATENT_NO_VENV=1 says the same, to all scripts)
  --fairseq-fixed   build fairseq-fixed from source in place of the ve-fairseq wheel (C++ compiler, 3 to 5 minutes):
                    the auditable alternative, and for other platforms than Linux x86_64

PYTHON=python3.11            the Python that makes .venv (3.11 or 3.12)
TORCH_INDEX_URL=URL          where pip finds a CPU build of torch, named on pytorch.org/get-started

A second run takes seconds: it installs nothing unless the lock files, setup.py or these options changed.
HELP
}

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_venv=1
[[ -z ${FAIRSEQ_LATENT_NO_VENV:-} ]] || use_venv=0
fairseq=ve-fairseq
for option in "$@"; do
    case $option in
        --no-venv) use_venv=0 ;;
        --fairseq-fixed) fairseq="fairseq-fixed" ;;
        -h | --help) usage; exit 0 ;;
        *) die "setup.sh: unknown option $option; remedy: bash scripts/setup.sh --help" ;;
    esac
done

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3 python}; do
        case $(python_version "$candidate") in 3.11 | 3.12) echo "$candidate"; return ;; esac
    done
    die "no Python 3.11 or 3.12 found; remedy: install one, then PYTHON=/its/python bash scripts/setup.sh"
}

if ((use_venv)); then
    venv=$ROOT/.venv
    # without a stamp the last set-up was cut short, perhaps before pip was there
    if [[ ! -f $venv/fairseq_latent.stamp ]] && ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        base=$(find_python)
        say "making $venv with $base ($(python_version "$base"))"
        "$base" -m venv "$venv" || die "$base -m venv failed; remedy: install its venv package (Debian: python3-venv)"
    fi
    python=$venv/bin/python
else
    python=$(command -v python || command -v python3) || die "no python on PATH; remedy: activate an environment"
    case $(python_version "$python") in
        3.11 | 3.12) ;;
        *) die "$python is Python $(python_version "$python"); remedy: an environment of Python 3.11 or 3.12" ;;
    esac
fi

prefix=$("$python" -c 'import sys; print(sys.prefix)')
stamp=$prefix/fairseq_latent.stamp
log=$prefix/fairseq_latent.setup.log
wanted="$fairseq $ROOT $(cat "$ROOT"/scripts/*.lock.txt "$ROOT/setup.py" "$ROOT/scripts/setup.sh" | digest)"
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    say "already set up: $prefix"
    exit 0
fi
: >"$log"

pip() { "$python" -m pip "$@" >>"$log" 2>&1; }

install() { # what it is, then pip's arguments
    local what=$1
    shift
    say "installing $what"
    pip install --disable-pip-version-check "$@" ||
        die "installing $what failed: $(grep -E '^ERROR' "$log" | tail -n 1 | cut -c1-200); all of it: $log"
}

install_torch() {
    local version=2.13.0 index=()
    [[ -z ${TORCH_INDEX_URL:-} ]] || index=(--extra-index-url "$TORCH_INDEX_URL")
    if "$python" -c "import torch, sys; sys.exit(not torch.__version__.startswith('$version'))" 2>/dev/null; then
        say "torch $version is there"
    elif nvidia-smi >/dev/null 2>&1; then
        install "torch $version for this machine's GPU" "torch==$version"
    elif say "installing torch $version, CPU build" && pip install --no-deps ${index[@]+"${index[@]}"} "torch==$version+cpu"; then
        :
    else
        say "your package index has no CPU build of torch: taking its default build, several GB with CUDA"
        say "(smaller: TORCH_INDEX_URL=<CPU index named on pytorch.org/get-started> bash scripts/setup.sh)"
        install "torch $version" ${index[@]+"${index[@]}"} "torch==$version"
    fi
}

seconds=$SECONDS
install_torch
install "$(grep -c '==' "$ROOT/scripts/requirements.lock.txt") packages" --no-deps -r "$ROOT/scripts/requirements.lock.txt"
if [[ $fairseq == ve-fairseq ]]; then
    install "fairseq (ve-fairseq wheel)" --no-deps --require-hashes --only-binary :all: -r "$ROOT/scripts/fairseq.lock.txt"
else
    compiler=$(command -v c++ || command -v g++) || die "--fairseq-fixed needs a C++ compiler; remedy: install g++"
    pip uninstall -y ve-fairseq || true
    install "Cython and wheel" "cython>=3,<4" wheel
    say "building fairseq-fixed with $compiler: 3 to 5 minutes"
    install "fairseq (fairseq-fixed from source)" --no-deps --no-build-isolation --no-binary fairseq-fixed fairseq-fixed==0.12.3.1
fi
install "fairseq_latent" --no-deps --no-build-isolation -e "$ROOT"

say "checking"
"$python" -m fairseq_latent.cli doctor >>"$log" 2>&1 ||
    die "the installation does not work: $("$python" -m fairseq_latent.cli doctor | grep -m 1 FAIL); all of it: fairseq-latent doctor"
echo "$wanted" >"$stamp"
say "set up in $((SECONDS - seconds)) s: $prefix"
