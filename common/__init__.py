"""What the exercises share.  Read an exercise's script first; the rest is here.

The methods, in the order to read them:
  cvae           the conditional VAE as three distributions, the two terms of its ELBO     1, 2
  priors         p(z|y): N(0, I), and a learned flow over a mixture of Gaussians           1, 2
  networks       encoders and decoders                                                     1, 2
  bounds         tighter bounds on log p(x|y)                                              1
  muon           the optimiser of the encoder's and the decoder's matrices                 1
  ebm            the log-density network f = -energy and its normaliser Z                  3
  langevin       Langevin steps, unadjusted and tested; replica exchange                   3
  distances      distances between two samples, each once                                  1, 2, 3
  plots          what the figures share                                                    1, 2, 3

The subjects, with the same file names inside (data, evaluation, figures; model but for the roll):
  digits         exercise 1: MNIST, the classifier that reads generated digits
  light_curves   exercise 2: light curves, simulated or your own
  swiss_roll     exercise 3: the exact density, your own points, the negatives

A package of its own, which imports nothing else of the project:
  microlensing   the simulator of exercise 2: star fields, magnification maps, light curves

Machinery, to be read last if at all:
  training       a loop that can be stopped, files, the command line, torchrun             1, 2

Imports go one way: training, microlensing <- methods <- subjects <- scripts <- studies;
subjects do not import each other (tests/test_house.py).
"""
