"""What a study takes, before anything runs: work and bytes by arithmetic, hours by the rates of a machine."""

from saev.planning.rates import Rates as Rates
from saev.planning.rates import measure as measure
from saev.planning.size import Shape as Shape
from saev.planning.size import code_bytes as code_bytes
from saev.planning.size import sae_bytes as sae_bytes
from saev.planning.size import store_bytes as store_bytes
from saev.planning.work import Work as Work
from saev.planning.work import encoding as encoding
from saev.planning.work import passing as passing
from saev.planning.work import recording as recording
from saev.planning.work import training as training
