#!/bin/sh
# All runs of the study on a task, mnist1d_mlp or fashion_lenet: sh experiments/han_tradeoff/sweeps.sh RUNS TASK grid [SETTINGS]; then, with
# the strengths that study.py chooses on the validation split, sh experiments/han_tradeoff/sweeps.sh RUNS TASK matched L1 L2 [SETTINGS].
# Run again, it goes on where it stopped.
runs=$1 task=$2 part=$3
shift 3
case $task in # retrained for a quarter of the training, at a tenth of its learning rate
mnist1d_mlp) length=2000it short=500it long=2500it rate=5e-4 l1=3e-5,1e-4,3e-4,1e-3 l2=1e-4,3e-4,1e-3,3e-3,1e-2 more1=3e-3 more2=3e-2 ;;
fashion_lenet) length=3000it short=750it long=3750it rate=1.2e-4 l1=3e-6,1e-5,3e-5,1e-4,3e-4 l2=1e-5,3e-5,1e-4,3e-4,1e-3,3e-3 more1=1e-3 more2=1e-2,3e-2 ;;
esac
sweep() {
    python -m ltb.train -m task=$task study=han_tradeoff training.length=$length training.evaluate_every=250it lr.after=$rate logger=none \
        progress=false hydra/launcher=joblib hydra.launcher.n_jobs=2 runs="$runs" seed=0,1,2,3,4 "$@"
}
halves='protocol.rate=0.5 schedule.levels=6'
both='dense_objective.strength=${objective.strength}'
retrained="method=fine_tune,one_shot_fine_tune rewind=fine_tune $halves rewind.length=$short"

case $part in
grid) # without retraining, where more strength pays; retrained, once or at each level
    sweep method=one_shot_fine_tune $halves rewind.length=0it "$@"
    sweep $retrained "$@"
    sweep method=one_shot_fine_tune $halves rewind.length=0it dense_objective=l1 dense_objective.strength=$l1,$more1 "$@"
    sweep method=one_shot_fine_tune $halves rewind.length=0it dense_objective=l2 dense_objective.strength=$l2,$more2 "$@"
    sweep $retrained dense_objective=l1 objective=l1 "$both" objective.strength=$l1 "$@"
    sweep $retrained dense_objective=l2 objective=l2 "$both" objective.strength=$l2 "$@"
    ;;
matched) # pruned once to 1/32 and retrained as long as the iterative chain had been by then
    strength1=$1 strength2=$2
    shift 2
    once="method=one_shot_fine_tune protocol.rate=0.5 schedule=explicit schedule.sparsities=[0.96875] rewind.length=$long"
    sweep $once "$@"
    sweep $once dense_objective=l1 objective=l1 "$both" objective.strength=$strength1 "$@"
    sweep $once dense_objective=l2 objective=l2 "$both" objective.strength=$strength2 "$@"
    # trained with L1, retrained with L2
    sweep $retrained dense_objective=l1 objective=l2 dense_objective.strength=$strength1 objective.strength=$strength2 "$@"
    ;;
esac
