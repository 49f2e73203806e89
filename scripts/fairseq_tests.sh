#!/usr/bin/env bash
# fairseq's own tests on the installed fairseq, without this plugin and with it: what fails with it alone is a defect of it.
# bash scripts/fairseq_tests.sh CHECKOUT [ARGUMENTS OF PYTEST]     CHECKOUT: a clone of facebookresearch/fairseq
# Exit code 1 if any test fails with the plugin alone. The checkout's own code is not used, and nothing is written to it.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case ${1:-} in '' | -h | --help) parse_arguments 1 --help ;; esac
activate

[[ -d $1/tests ]] || die "$1 has no folder tests; remedy: a clone of facebookresearch/fairseq"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$1/tests" "$work/tests"
shift

# failures NAME FLAGS...: the tests that fail or cannot be collected, sorted, in NAME.failed; what pytest printed in NAME.out.
failures() {
    local name=$1 status=0
    shift
    say "fairseq's tests $name the plugin"
    (cd "$work" && env PYTHONPATH="$ROOT" python -m pytest tests -q -rfE --continue-on-collection-errors "$@") \
        >"$work/$name.out" 2>&1 || status=$?
    tail -n 1 "$work/$name.out" >&2
    ((status <= 1)) || die "pytest did not run: $(grep -m 1 -E '^(ERROR|E  )' "$work/$name.out" || tail -n 1 "$work/$name.out")"
    sed -n -E 's/^(FAILED|ERROR) ([^ ]+).*/\2/p' "$work/$name.out" | sort -u >"$work/$name.failed"
}

failures without "$@"
failures with -p fairseq_latent "$@"
comm -13 "$work/without.failed" "$work/with.failed" | tee "$work/alone"
say "$(wc -l <"$work/alone") fail with the plugin alone, $(comm -23 "$work/without.failed" "$work/with.failed" | wc -l) without it alone"
[[ ! -s $work/alone ]]
