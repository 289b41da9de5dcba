"""Which latent means what: measured against labels, chosen on one split and reported on another."""

from saev.probing.f1 import THRESHOLDS as THRESHOLDS
from saev.probing.f1 import f1_table as f1_table
from saev.probing.linear import linear_probes as linear_probes
from saev.probing.match import Match as Match
from saev.probing.match import match_classes as match_classes
