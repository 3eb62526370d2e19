#!/bin/sh
# All of the study: sh experiments/storage_speed/sweeps.sh RUNS [SETTINGS]; then study.py RUNS. Times are those that one
# thread computed, so that neighbours on the machine matter little.
runs=$1
shift
export OMP_NUM_THREADS=1
# One-shot from the dense network, fine-tuned: single weights by magnitude, and neurons by the L1 norm of their weights.
python -m ltb.train -m task=fashion_lenet study=storage_speed method=one_shot_fine_tune,filter_l1 seed=0,1,2 rewind=fine_tune \
    rewind.length=300it lr.after=1.2e-4 schedule=explicit schedule.sparsities=[0.75,0.9,0.97] training.length=1200it \
    training.evaluate_every=300it measure=[bytes,flops,latency,memory] measure.latency.cpu_time=true measure.latency.rounds=15 \
    threads=1 logger=none progress=false runs="$runs" "$@"
python -m ltb.measure "$runs" measure=latency measure.latency.int8=true measure.latency.onnx=true \
    measure.latency.cpu_time=true measure.latency.rounds=15 # pip install 'ltb[int8,onnx]'
python -m experiments.storage_speed.layers
