"""The SAE libraries that ours is compared with, in the environment of `make peers`.

Importing them writes to stdout, where a benchmark prints its result, so that goes to stderr. What has
nothing to do with SAEs, and would need packages not installed there, is replaced:

    nnsight                      dictionary_learning: the type of a language model
    overcomplete.models          timm backbones
    overcomplete.visualization   OpenCV, and a matplotlib older than 3.9
    visaebench.*                 timm backbones, data sets, what runs its metrics
"""

import os
import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from unittest.mock import MagicMock

import torch

for irrelevant in (
    "nnsight",
    "overcomplete.models",
    "overcomplete.visualization",
    "visaebench.backbones",
    "visaebench.data",
    "visaebench.metrics.runner",
):
    sys.modules[irrelevant] = MagicMock()
if not torch.cuda.is_available():
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its kernels need a GPU

with redirect_stdout(sys.stderr):
    import sae_lens as sae_lens
    import sparsify as sparsify
    import visaebench.hub as visaebench  # noqa: F401
    from dictionary_learning import trainers as dictionary_learning  # noqa: F401
    from dictionary_learning.utils import load_dictionary as load_dictionary
    from overcomplete import sae as overcomplete  # noqa: F401
    from sae_lens.config import SAETrainerConfig as SAETrainerConfig
    from sae_lens.saes.sae import TrainStepInput as TrainStepInput
    from schedulefree import ScheduleFreeWrapper as ScheduleFreeWrapper
    from sparsify.sign_sgd import SignSGD as SignSGD

VERSIONS = {
    name: version(name)
    for name in ("sae-lens", "dictionary-learning", "eai-sparsify", "overcomplete", "torch")
}
