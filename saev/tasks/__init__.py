"""What a model is asked: frozen readouts, and the model from an edited layer on."""

from saev.tasks.continuation import Predictor as Predictor
from saev.tasks.heads import SegmentationHead as SegmentationHead
from saev.tasks.heads import load_head as load_head
from saev.tasks.heads import train_head as train_head
