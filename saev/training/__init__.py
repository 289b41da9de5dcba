"""Training SAEs, many on one stream, and measuring them."""

from saev.training.evaluate import evaluate as evaluate
from saev.training.fit import Training as Training
from saev.training.fit import fit as fit
