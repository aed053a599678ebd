"""The machine room of exercises 2 and 3: their training loop, options, seeds, devices, files.

loop         the training loop: schedule, history, resume, clean end on a signal
cvae         the conditional VAE of exercise 2, the two terms of its ELBO
priors       p(z|p) of exercise 2: N(0, I), and couplings over a mixture of Gaussians
errors       InputError, a mistake of the user
options      a dataclass becomes command-line flags
script       how a script starts and ends: seeds, threads, signals, errors in one line
seeding      random numbers that depend on (seed, step) alone
device       accelerators, bfloat16
distributed  the processes that torchrun starts
files        files are written whole or not at all; locks
results      JSON and figures
checkpoints  weights, written and believed only when they fit; which file is read
resume       the state of an unfinished training
"""
