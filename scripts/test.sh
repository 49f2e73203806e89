#!/usr/bin/env bash
# Sets up, then runs the linters and the whole test suite. Arguments go to pytest: bash scripts/test.sh -k selection
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    --no-venv) export FAIRSEQ_LATENT_NO_VENV=1; shift ;;
    -h | --help)
        printf '%s\n' "usage: bash scripts/test.sh [--no-venv] [ARGUMENTS OF PYTEST]" "" \
            "  --no-venv      use the active environment (FAIRSEQ_LATENT_NO_VENV=1 says the same)"
        exit 0
        ;;
esac
bash "$ROOT/scripts/setup.sh"
activate
say "linting"
run ruff check "$ROOT"
run ruff format --check "$ROOT"
run codespell --toml "$ROOT/pyproject.toml" "$ROOT"
run mypy --config-file "$ROOT/pyproject.toml" "$ROOT/fairseq_latent" "$ROOT/preprocess" &
types=$!
bash_files() { printf '%s\0' "$ROOT"/scripts/{,recipes/,prepare/,cluster/,tables/}*.sh "$ROOT/.ci/run"; }
bash_files | run xargs -0 -n 4 -P "$(cores)" shellcheck --external-sources --source-path="$ROOT"
wait "$types"
say "testing"
# one thread a pytest worker; hundreds of short processes read what the first one compiled
suite=(env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 python -m pytest "$ROOT/tests" --numprocesses "$(cores)" --dist worksteal "$@")
show_command "${suite[@]}"
"${suite[@]}" # it shows its progress itself
