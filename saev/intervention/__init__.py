"""Editing features inside the running model, and measuring what changes against controls."""

from saev.intervention.experiment import Experiment as Experiment
from saev.intervention.experiment import run_experiment as run_experiment
from saev.intervention.illustrate import illustrate as illustrate
from saev.intervention.outcome import summarise as summarise
