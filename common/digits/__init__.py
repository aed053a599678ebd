"""The digits of exercise 1.

data         MNIST, or the digits that scikit-learn carries
model        build, load and sample the conditional VAE
classifier   a small CNN that reads digits
evaluation   bounds on the likelihood, quality of samples
figures      arrays in, figures out
"""
