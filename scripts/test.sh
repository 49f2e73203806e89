#!/usr/bin/env bash
# Sets up, then runs the linters and the whole test suite. Arguments go to pytest: bash scripts/test.sh -k selection
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bash "$ROOT/scripts/setup.sh" ${NO_VENV:+--no-venv}
activate
say "linting"
run ruff check "$ROOT"
run ruff format --check "$ROOT"
mapfile -t shell_scripts < <(find "$ROOT/scripts" "$ROOT/.ci" -type f \( -name '*.sh' -o -name run \) | sort)
run shellcheck --external-sources --source-path="$ROOT" "${shell_scripts[@]}"
say "testing"
# one thread a pytest worker
run env OMP_NUM_THREADS=1 python -m pytest "$ROOT/tests" --numprocesses "$(cores)" --dist worksteal "$@"
