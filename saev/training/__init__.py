"""Training SAEs, many on one stream."""

from saev.training.fitting import Fitted as Fitted
from saev.training.fitting import Member as Member
from saev.training.fitting import fit as fit
from saev.training.options import Training as Training
