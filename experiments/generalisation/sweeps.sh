#!/bin/sh
# All runs of the study: sh experiments/generalisation/sweeps.sh RUNS [SETTINGS]. Run again, it goes on where it stopped.
runs=$1
shift
sweep() {
    python -m ltb.train -m task=mnist1d_mlp study=generalisation training.length=1000it training.evaluate_every=50it \
        'measure=[generalisation_gap,calibration]' logger=none progress=false hydra/launcher=joblib hydra.launcher.n_jobs=2 \
        runs="$runs" seed=0,1,2 label_noise.rate=0,0.4,0.2 "$@"
}
levels='schedule=explicit schedule.sparsities=[0.67232,0.83222784,0.95601953488896]' # IMP's levels 5, 8 and 14

sweep method=imp schedule.levels=14 "$@"
sweep method=dense 'model.widths=[42,42],[95,95],[139,139]' "$@" # as many weights as IMP keeps at levels 14, 8, 5
sweep method=one_shot,random $levels "$@"
sweep method=dense training.length=15000it "$@" # as long as IMP's dense network and 14 levels together
sweep method=imp_reinit,imp_shuffle schedule.levels=14 "$@"
