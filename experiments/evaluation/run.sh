#!/usr/bin/env bash
# From records to a report: unguided, guided and refined samples of one small model. A step whose result stands is not repeated.
# usage: TARDIFF_DATA=DIR experiments/evaluation/run.sh [OUT]
set -euo pipefail
raw=${TARDIFF_DATA:?names the folder that holds physionet2012/}/physionet2012
out=${1:-runs/evaluation}
mkdir -p "$out"

step() { # step RESULT COMMAND...: run the command unless its result is there already
    local result=$1 start=$SECONDS
    shift
    [ -e "$result" ] && return
    "$@" --out "$result"
    echo "$(basename "$result"): $((SECONDS - start)) s" | tee -a "$out/seconds.txt"
}

step "$out/data" tardiff prepare physionet2012 --raw "$raw" --split by-set
step "$out/run" tardiff train "$out/data" --steps 2500 --batch-size 64 --widths 32 64 --blocks 1 --ema-decay 0.998
step "$out/classifier" tardiff fit-classifier "$out/data"
step "$out/unguided" tardiff sample "$out/run" --guidance none --n 3140
step "$out/guided" tardiff sample "$out/run" --classifier "$out/classifier" --n 3140
step "$out/diagnosis" tardiff diagnose "$out/guided" --run "$out/run" --classifier "$out/classifier" --data "$out/data"
sets=(--synthetic "$out/unguided" --synthetic "$out/guided")
# A refinement that makes the samples worse is not written; the evaluation then goes on without it.
if step "$out/refined-run" tardiff refine "$out/run" --data "$out/data" --iterations "${ITERATIONS:-20}"; then
    step "$out/refined" tardiff sample "$out/refined-run" --guidance none --n 3140
    sets+=(--synthetic "$out/refined")
fi
step "$out/result" tardiff evaluate --real "$out/data" "${sets[@]}" --run "$out/run" --classifier "$out/classifier" \
    --models gru trees logistic --seeds 2 --ratios 1.0
step "$out/report.html" tardiff report "$out/result" --card "$out/run"
