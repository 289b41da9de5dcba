"""SAEs on disk and on the hub: our own format, and those of other libraries."""

from saev.sae.formats.assembly import assemble as assemble
from saev.sae.formats.dictionary_learning import load_dictionary_learning as load_dictionary_learning
from saev.sae.formats.osunlp import load_osunlp as load_osunlp
from saev.sae.formats.overcomplete import load_overcomplete as load_overcomplete
from saev.sae.formats.sae_lens import load_sae_lens as load_sae_lens
from saev.sae.formats.sae_lens import save_sae_lens as save_sae_lens
from saev.sae.formats.sparsify import load_sparsify as load_sparsify
from saev.sae.formats.visaebench import load_visaebench as load_visaebench
