"""SAEs to and from the file formats of other libraries."""

from saev.interchange.osunlp import load_osunlp as load_osunlp
from saev.interchange.sae_lens import load_sae_lens as load_sae_lens
from saev.interchange.sae_lens import save_sae_lens as save_sae_lens
