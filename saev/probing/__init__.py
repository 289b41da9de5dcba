"""Which latent means what: measured against labels, chosen on one split and reported on another."""

from saev.probing.compare import difference as difference
from saev.probing.compare import mean_f1 as mean_f1
from saev.probing.concepts import Concepts as Concepts
from saev.probing.concepts import classes_of_images as classes_of_images
from saev.probing.concepts import classes_of_tokens as classes_of_tokens
from saev.probing.concepts import described as described
from saev.probing.linear import linear_probes as linear_probes
from saev.probing.match import Match as Match
from saev.probing.match import Splits as Splits
from saev.probing.match import match_concepts as match_concepts
from saev.probing.null import best_of_many as best_of_many
