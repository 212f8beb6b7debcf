#!/usr/bin/env bash
# The whole comparison, from raw records to the table: about 14 hours of two cores with nothing beside them. It goes on where it stopped.
# RAW holds physionet2012/ and physionet2019-sites/; GENTS is a copy of the GenTS repository (see README.md).
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${RAW:?the folder of the raw records}" "${GENTS:?the folder of the GenTS repository}"
RUNS=${RUNS:-runs/peers}
PYTHON=${PYTHON:-.venv/bin/python}
export GENTS
[ -d "$RUNS/p12" ] || "$PYTHON" -m tardiff prepare physionet2012 --raw "$RAW/physionet2012" --split by-set --out "$RUNS/p12"
[ -d "$RUNS/p19" ] || "$PYTHON" -m tardiff prepare physionet2019 --raw "$RAW/physionet2019-sites" --sets a --hours 12 --variables all \
    --task experiments/harness/sepsis_later.yaml --out "$RUNS/p19"
"$PYTHON" -m experiments.peers.environments --at "$RUNS/env" || echo "what could not be made becomes a row with the reason"
"$PYTHON" -m experiments.peers.run --data "physionet2012=$RUNS/p12" --data "challenge2019=$RUNS/p19" \
    --environments "$RUNS/env" --work "$RUNS/work"
"$PYTHON" -m experiments.peers.table
