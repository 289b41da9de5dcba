"""saev: find interpretable features in vision transformers, then test them by editing.

    images -> activations (Zarr) -> SAEs -> codes -> probes -> interventions -> verdicts -> report

The sub-packages follow that order and each imports only those before it:
`machine`, `data`, `backbones`, `activations`, `sae`, `training`, `tasks`, `features`,
`evaluation`, `probing`, `intervention`, `hypotheses`, `report`, `atlas`, `study`, `app`. Importing `saev`
itself loads none of them (nor torch); what a notebook begins with comes when it is first named:

    open_study    a finished study by its folder (saev.study)
    edited        features edited in a model while it runs (saev.intervention.running)
"""

from typing import TYPE_CHECKING

from saev.errors import SaevError as SaevError

if TYPE_CHECKING:
    from saev.intervention.running import edited as edited
    from saev.study import open_study as open_study

__version__ = "0.1.0"

_LATER = {"open_study": "saev.study", "edited": "saev.intervention.running"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pkgutil import resolve_name

    return resolve_name(f"{_LATER[name]}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
