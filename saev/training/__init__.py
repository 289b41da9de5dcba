"""Training SAEs, many on one stream."""

from saev.training.fitting import Fitted as Fitted
from saev.training.fitting import Member as Member
from saev.training.fitting import fit as fit
from saev.training.floors import FLOORS as FLOORS
from saev.training.floors import TWINS as TWINS
from saev.training.floors import floor as floor
from saev.training.options import Training as Training
