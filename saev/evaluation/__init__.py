"""How good an SAE is: reconstruction, downstream fidelity, synthetic truth."""

from saev.evaluation.fidelity import fidelity as fidelity
from saev.evaluation.reconstruction import evaluate as evaluate
