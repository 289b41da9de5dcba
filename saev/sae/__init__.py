"""Sparse autoencoders: architectures, baselines, the model, their losses, checkpoints."""

from saev.sae.architectures import BatchTopK as BatchTopK
from saev.sae.architectures import Gated as Gated
from saev.sae.architectures import JumpReLU as JumpReLU
from saev.sae.architectures import ReLU as ReLU
from saev.sae.architectures import TopK as TopK
from saev.sae.baselines import PCA as PCA
from saev.sae.baselines import KMeans as KMeans
from saev.sae.baselines import Neurons as Neurons
from saev.sae.baselines import RandomDirections as RandomDirections
from saev.sae.baselines import SemiNMF as SemiNMF
from saev.sae.formats.checkpoint import load_sae as load_sae
from saev.sae.formats.checkpoint import push_sae as push_sae
from saev.sae.formats.checkpoint import save_sae as save_sae
from saev.sae.model import SAE as SAE
from saev.sae.model import Architecture as Architecture
from saev.sae.pretrained import Pretrained as Pretrained
from saev.sae.trained import Step as Step
from saev.sae.trained import Trained as Trained
