"""The atlas: every latent of a study on pages that open from a folder; made of records and arrays alone."""

from saev.atlas.album import kept as kept
from saev.atlas.album import write_album as write_album
from saev.atlas.exemplars import Shown as Shown
from saev.atlas.exemplars import exemplar_maps as exemplar_maps
from saev.atlas.fired import Fired as Fired
from saev.atlas.fired import StoredCodes as StoredCodes
from saev.atlas.latents import Latents as Latents
from saev.atlas.latents import write_latents as write_latents
from saev.atlas.looks import write_look as write_look
from saev.atlas.naming import Names as Names
from saev.atlas.naming import name_latents as name_latents
from saev.atlas.options import AtlasOptions as AtlasOptions
from saev.atlas.seeds import twins as twins
from saev.atlas.site import FILES as FILES
from saev.atlas.site import write_site as write_site
from saev.atlas.told import told_of as told_of
