#!/usr/bin/env bash
# bash tools/dist_predict.sh CONFIG CHECKPOINT PROCESSES [more arguments of tools/predict.py]
# A process per GPU of the machine, or any number of them where there is none.
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each; --out is on a shared disk.
set -eu
CONFIG=$1
CHECKPOINT=$2
PROCESSES=$3
torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$(dirname "$0")/predict.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
