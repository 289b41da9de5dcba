"""Editing features inside the running model, and measuring what changes against controls."""

from saev.intervention.attribution import mean_attribution as mean_attribution
from saev.intervention.directions import Directions as Directions
from saev.intervention.experiment import Arm as Arm
from saev.intervention.experiment import Outcome as Outcome
from saev.intervention.experiment import check_arms as check_arms
from saev.intervention.experiment import run_experiment as run_experiment
from saev.intervention.experiment import trials as trials
from saev.intervention.illustrate import Illustration as Illustration
from saev.intervention.illustrate import edited_images as edited_images
from saev.intervention.outcome import summarise as summarise
from saev.intervention.resampling import clusters_of as clusters_of
from saev.intervention.selectors import SELECTORS as SELECTORS
from saev.intervention.selectors import Known as Known
from saev.intervention.selectors import Selected as Selected
from saev.intervention.trial import Rival as Rival
from saev.intervention.trial import Setup as Setup
