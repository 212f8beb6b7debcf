#!/usr/bin/env bash
# The six steps of the README on PhysioNet 2012, a step a line; a step whose folder stands is not repeated.
# usage: TARDIFF_DATA=DIR experiments/physionet2012/run.sh [OUT]
set -euo pipefail
raw=${TARDIFF_DATA:?names the folder that holds physionet2012/}/physionet2012
out=${1:-runs/p12}
mkdir -p "$out"

step() { # step FOLDER COMMAND...: run the command unless it has made the folder already
    local folder=$1 start=$SECONDS
    shift
    [ -e "$folder" ] && return
    "$@" --out "$folder"
    echo "$(basename "$folder"): $((SECONDS - start)) s" | tee -a "$out/seconds.txt"
}

step "$out/data" tardiff prepare physionet2012 --raw "$raw" --split by-set
step "$out/run" tardiff train "$out/data"
step "$out/classifier" tardiff fit-classifier "$out/data"
step "$out/unguided" tardiff sample "$out/run" --guidance none --n 3140
step "$out/guided" tardiff sample "$out/run" --classifier "$out/classifier" --n 3140
step "$out/evaluation" tardiff evaluate --real "$out/data" --synthetic unguided="$out/unguided" --synthetic guided="$out/guided" --models gru trees

# The same with three sampling seeds, since seeds may differ more than guides do; trees and logistic regression only.
sets=()
for seed in 0 1 2; do
    step "$out/unguided-$seed" tardiff sample "$out/run" --guidance none --n 3140 --seed "$seed"
    step "$out/guided-$seed" tardiff sample "$out/run" --classifier "$out/classifier" --n 3140 --seed "$seed"
    sets+=(--synthetic "$out/unguided-$seed" --synthetic "$out/guided-$seed")
done
step "$out/seeds" tardiff evaluate --real "$out/data" "${sets[@]}" --models trees logistic --ratios 1.0
python -m experiments.physionet2012.seeds "$out/seeds/metrics.json"
