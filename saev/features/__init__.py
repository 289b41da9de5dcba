"""What an SAE's latents do on a data split: sparse codes, and what each latent is like."""

from saev.features.codes import Codes as Codes
from saev.features.codes import load_codes as load_codes
from saev.features.encoding import encode as encode
from saev.features.encoding import encode_tokens as encode_tokens
from saev.features.exemplars import Order as Order
from saev.features.exemplars import strongest_here as strongest_here
from saev.features.exemplars import strongest_latents as strongest_latents
from saev.features.exemplars import top_images as top_images
from saev.features.neighbours import fire_together as fire_together
from saev.features.neighbours import nearest_rows as nearest_rows
from saev.features.profiles import Profile as Profile
from saev.features.profiles import Profiler as Profiler
from saev.features.profiles import load_profile as load_profile
from saev.features.profiles import save_profile as save_profile
from saev.features.reading import after_layer as after_layer
from saev.features.reading import of_kinds as of_kinds
