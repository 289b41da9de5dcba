"""Frozen vision transformers that can be cut open after any block.

A further family needs no line here: its file of conf/backbone names its module (see `Backbone`).
"""

from saev.backbones.backbone import Backbone as Backbone
from saev.backbones.from_open_clip import open_clip_vit as open_clip_vit
from saev.backbones.from_timm import timm_vit as timm_vit
from saev.backbones.packaged import packaged_dinov2 as packaged_dinov2
