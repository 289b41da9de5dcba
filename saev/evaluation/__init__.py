"""How good an SAE is: reconstruction, downstream fidelity, synthetic truth."""

from saev.evaluation.fidelity import measure_fidelity as measure_fidelity
from saev.evaluation.reconstruction import measure_reconstruction as measure_reconstruction
