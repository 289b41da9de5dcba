"""Sparse autoencoders: architectures, the model, their losses, checkpoints."""

from saev.sae.architectures import ReLU as ReLU
from saev.sae.architectures import TopK as TopK
from saev.sae.checkpoint import load_sae as load_sae
from saev.sae.checkpoint import save_sae as save_sae
from saev.sae.model import SAE as SAE
