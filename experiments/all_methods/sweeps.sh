#!/bin/sh
# All runs of the study: sh experiments/all_methods/sweeps.sh RUNS [SETTINGS], and a part of the methods on a larger data set:
# sh experiments/all_methods/sweeps.sh RUNS fashion_lenet [SETTINGS]. Run again, it goes on where it stopped; with plan=true it says
# what it would train, and how much of that the runs share.
runs=$1 task='task=mnist1d_mlp'
shift
if [ "$1" = fashion_lenet ]; then
    task='task=fashion_lenet training.length=3000it'
    shift
fi
sweep() {
    python -m ltb.train -m $task study=all_methods schedule=explicit logger=none progress=false \
        hydra/launcher=joblib hydra.launcher.n_jobs=2 runs="$runs" seed=0,1,2 "$@"
}
targets='schedule.sparsities=[0.8,0.9,0.95,0.98]'
# A fifth of what is left a level, as usual, but for the levels that come to exactly these.
chain='schedule.sparsities=[0.2,0.36,0.488,0.5904,0.67232,0.737856,0.8,0.84,0.872,0.9,0.92,0.936,0.95,0.96,0.968,0.975,0.98]'

# What ranks trained weights by their magnitude does it over the whole network, as most papers do; the others have an allocation of their own.
case $task in
*fashion_lenet*)
    sweep method=one_shot,gradual allocation=global "$targets" "$@"
    sweep method=snip,synflow,random,static_sparse,set,rigl "$targets" "$@"
    sweep method=imp,imp_rewind,imp_shuffle allocation=global 'schedule.sparsities=[0.4,0.64,0.8,0.9,0.95,0.98]' "$@" # larger steps
    ;;
*)
    sweep method=one_shot,one_shot_rewind,one_shot_lr_rewind,one_shot_fine_tune,gradual,movement,soft_movement,ac_dc allocation=global "$targets" "$@"
    sweep method=snip,snip_iterative,force,grasp,synflow,magnitude_at_init,random,random_balanced,static_sparse,set,rigl,static_sparse_5x,rigl_5x "$targets" "$@"
    sweep method=imp,imp_rewind,lr_rewind,fine_tune,imp_reinit,imp_shuffle allocation=global "$chain" "$@"
    # Frankle et al. 2021: what is left of pruning at the initialisation when its masks are shuffled, or its weights drawn anew.
    sweep method=snip,synflow control=shuffle,reinit "$targets" "$@"
    ;;
esac
