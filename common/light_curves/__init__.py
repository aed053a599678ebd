"""The light curves of exercise 2: what is read, modelled, measured and drawn.

data        training and test curves, reference curves of any size, and their simulation
diagnose    what is wrong with a file of curves that cannot be read
model       the conditional VAE: build, precondition, fold, load, sample
evaluation  bounds and distances between sets of curves
figures     arrays in, figures out

The simulator is a package of its own, common/microlensing.
"""
