"""What an SAE's latents do on a data split: sparse codes, and the images on which a latent is strongest."""

from saev.features.codes import Codes as Codes
from saev.features.codes import encode as encode
from saev.features.codes import encode_tokens as encode_tokens
from saev.features.codes import load_codes as load_codes
from saev.features.exemplars import strongest_latents as strongest_latents
from saev.features.exemplars import top_images as top_images
from saev.features.profiles import Near as Near
from saev.features.profiles import Profile as Profile
from saev.features.profiles import fire_together as fire_together
from saev.features.profiles import nearest_rows as nearest_rows
from saev.features.profiles import profile as profile
from saev.features.profiles import spread_images as spread_images
