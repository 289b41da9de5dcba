"""Training SAEs, many on one stream."""

from saev.training.fit import Training as Training
from saev.training.fit import fit as fit
