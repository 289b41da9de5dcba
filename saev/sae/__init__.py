"""Sparse autoencoders: architectures, the model, their losses, checkpoints."""

from saev.sae.architectures import Architecture as Architecture
from saev.sae.architectures import BatchTopK as BatchTopK
from saev.sae.architectures import Gated as Gated
from saev.sae.architectures import JumpReLU as JumpReLU
from saev.sae.architectures import ReLU as ReLU
from saev.sae.architectures import TopK as TopK
from saev.sae.checkpoint import load_sae as load_sae
from saev.sae.checkpoint import save_sae as save_sae
from saev.sae.model import SAE as SAE
