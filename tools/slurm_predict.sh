#!/usr/bin/env bash
# bash tools/slurm_predict.sh PARTITION JOB_NAME CONFIG CHECKPOINT [more arguments of tools/predict.py]
# GPUS in all, GPUS_PER_NODE and CPUS_PER_TASK come from the environment, SRUN_ARGS go to srun.
# On several machines --out is on a shared disk.
set -eu
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-4}
srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/predict.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:5}"
