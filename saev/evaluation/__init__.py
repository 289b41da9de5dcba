"""How good an SAE is: reconstruction, downstream fidelity, synthetic truth."""

from saev.evaluation.fidelity import measure_fidelity as measure_fidelity
from saev.evaluation.reconstruction import Reconstruction as Reconstruction
from saev.evaluation.reconstruction import measure_reconstruction as measure_reconstruction
from saev.evaluation.reconstruction import nmse_difference as nmse_difference
from saev.evaluation.stability import Stability as Stability
from saev.evaluation.stability import measure_stability as measure_stability
