"""Editing features inside the running model, and measuring what changes against controls."""

from saev.intervention.experiment import Arm as Arm
from saev.intervention.experiment import Outcome as Outcome
from saev.intervention.experiment import run_experiment as run_experiment
from saev.intervention.experiment import trials as trials
from saev.intervention.illustrate import Illustration as Illustration
from saev.intervention.illustrate import edited_images as edited_images
from saev.intervention.outcome import summarise as summarise
from saev.intervention.trial import Setup as Setup
