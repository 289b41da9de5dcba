"""saev: find interpretable features in vision transformers, then test them by editing.

    images -> activations (Zarr) -> SAEs -> codes -> probes -> interventions -> report

The sub-packages follow that order and each imports only those before it:
`data`, `backbones`, `activations`, `sae`, `training`, `features`, `probing`,
`intervention`, `report`. Importing `saev` itself loads none of them (nor torch).
"""

from saev.errors import SaevError as SaevError

__version__ = "0.1.0"
