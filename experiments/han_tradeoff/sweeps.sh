#!/bin/sh
# All runs of the study: sh experiments/han_tradeoff/sweeps.sh RUNS grid [SETTINGS]; then, with the strengths that
# study.py chooses on the validation split, sh experiments/han_tradeoff/sweeps.sh RUNS matched L1 L2 [SETTINGS].
# Run again, it goes on where it stopped.
runs=$1 part=$2
shift 2
sweep() {
    python -m ltb.train -m task=mnist1d_mlp study=han_tradeoff lr.after=5e-4 logger=none progress=false \
        hydra/launcher=joblib hydra.launcher.n_jobs=1 runs="$runs" seed=0,1,2,3,4 "$@"
}
halves='protocol.rate=0.5 schedule.levels=6'
both='dense_objective.strength=${objective.strength}'
l1=3e-5,1e-4,3e-4
l2=1e-4,3e-4,1e-3

case $part in
grid) # without retraining; retrained for 500 iterations, once or at each level
    sweep method=one_shot_fine_tune $halves rewind.length=0it "$@"
    sweep method=fine_tune,one_shot_fine_tune rewind=fine_tune $halves rewind.length=500it "$@"
    sweep method=one_shot_fine_tune $halves rewind.length=0it dense_objective=l1 dense_objective.strength=$l1 "$@"
    sweep method=one_shot_fine_tune $halves rewind.length=0it dense_objective=l2 dense_objective.strength=$l2 "$@"
    sweep method=fine_tune,one_shot_fine_tune rewind=fine_tune $halves rewind.length=500it dense_objective=l1 objective=l1 "$both" objective.strength=$l1 "$@"
    sweep method=fine_tune,one_shot_fine_tune rewind=fine_tune $halves rewind.length=500it dense_objective=l2 objective=l2 "$both" objective.strength=$l2 "$@"
    ;;
matched) # pruned once to 1/32 and retrained as long as the iterative chain had been by then
    strength1=$1 strength2=$2
    shift 2
    once='method=one_shot_fine_tune protocol.rate=0.5 schedule=explicit schedule.sparsities=[0.96875] rewind.length=2500it'
    sweep $once "$@"
    sweep $once dense_objective=l1 objective=l1 "$both" objective.strength=$strength1 "$@"
    sweep $once dense_objective=l2 objective=l2 "$both" objective.strength=$strength2 "$@"
    # trained with L1, retrained with L2
    sweep method=fine_tune,one_shot_fine_tune rewind=fine_tune $halves rewind.length=500it dense_objective=l1 objective=l2 \
        dense_objective.strength=$strength1 objective.strength=$strength2 "$@"
    ;;
esac
