#!/bin/sh
# All runs of the study on a task, fashion_lenet or digits_resnet: sh experiments/compression/sweeps.sh RUNS TASK [SETTINGS].
# Run again, it goes on where it stopped. pip install 'ltb[int8]'
runs=$1 task=$2
shift 2
export OMP_NUM_THREADS=1
case $task in # `small`: networks of fewer neurons or channels
fashion_lenet)
    network='task=fashion_lenet' length=1200it short=300it small='model.widths=[100,33],[50,17],[25,10]' ;;
digits_resnet)
    network='task=digits_lenet model=resnet20 protocol.layer_rates={}' length=300it short=100it small='model.width=8,5,3' ;;
esac
sweep() {
    python -m ltb.train -m $network study="compression_$task" training.length=$length training.evaluate_every=100it lr.after=1.2e-4 \
        'measure=[bytes,latency]' measure.latency.cpu_time=true measure.latency.rounds=15 measure.latency.int8=true \
        threads=1 logger=none progress=false seed=0,1,2 runs="$runs" "$@"
}
once='schedule=explicit schedule.sparsities=[0.75,0.9375,0.96875]'
units='schedule=explicit schedule.sparsities=[0.5,0.75,0.9]'
halves='protocol.rate=0.5 schedule.levels=5'

# The dense network, in integers and in few values: after training, and trained on there.
sweep method=dense execution=masked,int8,int4,shared "$@"
sweep method=dense execution=int8,int4,shared ++execution.length=$short "$@"
# Pruned, and then in 8 bits.
sweep method=one_shot_fine_tune $once rewind.length=$short execution=masked,int8 "$@"
sweep method=filter_l1 $units rewind.length=$short execution=masked,int8 "$@"
sweep method=imp $halves execution=masked,int8 "$@"
# Deep Compression: pruned and fine-tuned level by level, few values that are trained on, and a Huffman code (measure=bytes).
sweep method=fine_tune $halves rewind.length=$short execution=shared execution.length=$short "$@"
# A ticket that learns from the dense network of its seed.
sweep method=imp $halves objective=distil "$@"
# Small dense networks, alone, and learning from the large one.
sweep method=dense "$small" execution=masked,int8 "$@"
sweep method=dense runs="$runs/teachers" store.dir="$runs/store" "$@"
for seed in 0 1 2; do
    for teacher in "$runs"/teachers/dense-*-s$seed-*; do
        sweep method=dense "$small" execution=masked,int8 dense_objective=distil dense_objective.teacher.run="$teacher" seed=$seed "$@"
    done
done
