#!/bin/bash
# A training on two nodes of eight GPUs by SLURM: sbatch slurm.sh
#SBATCH --job-name=nextfill
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nextfill-%j.log
set -euo pipefail

shared=${SHARED:-/shared}  # a folder that all nodes see
run=$shared/run
export NEXTFILL_CACHE=$shared/cache

settings=(--data "$shared/notes" --out "$run" --batch-size 128 --save-every 200)
if [[ -e $run/config.toml ]]; then  # the job was preempted, and is started again
    settings=(--out "$run" --resume)
fi
port=$((20000 + SLURM_JOB_ID % 10000))  # two jobs may share a node
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:$port" \
    -m nextfill train "${settings[@]}"
