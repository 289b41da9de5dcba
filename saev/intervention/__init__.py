"""Editing features inside the running model, and measuring what changes against controls."""

from saev.intervention.experiment import Experiment as Experiment
from saev.intervention.experiment import run_experiment as run_experiment
from saev.intervention.fidelity import fidelity as fidelity
from saev.intervention.head import SegmentationHead as SegmentationHead
from saev.intervention.head import load_head as load_head
from saev.intervention.head import train_head as train_head
from saev.intervention.illustrate import illustrate as illustrate
from saev.intervention.predictor import Predictor as Predictor
from saev.intervention.summary import summarise as summarise
