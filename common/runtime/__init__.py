"""The machine room: options, seeds, devices, files.  It knows no model, and is read last or never.

errors       InputError, a mistake of the user
options      a dataclass becomes command-line flags
script       how a script starts and ends: seeds, threads, signals, errors in one line
seeding      random numbers that depend on (seed, step) alone
device       accelerators, bfloat16
distributed  the processes that torchrun starts
files        files are written whole or not at all; locks; where files are found
results      JSON and figures
checkpoints  weights, written and believed only when they fit
resume       the state of an unfinished training
"""
