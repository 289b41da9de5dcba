"""What an SAE's latents do on a data split: sparse codes, statistics, exemplars."""

from saev.features.codes import Split as Split
from saev.features.codes import encode_store as encode_store
from saev.features.codes import load_split as load_split
from saev.features.exemplars import top_images as top_images
