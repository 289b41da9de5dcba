"""saev: find interpretable features in vision transformers, then test them by editing.

    images -> activations (Zarr) -> SAEs -> codes -> probes -> interventions -> report

The sub-packages follow that order and each imports only those before it:
`machine`, `data`, `backbones`, `activations`, `sae`, `training`, `tasks`, `features`,
`evaluation`, `probing`, `intervention`, `report`. Importing `saev` itself loads none of them (nor torch).
"""

from saev.errors import SaevError as SaevError

__version__ = "0.1.0"
