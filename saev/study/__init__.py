"""A finished study in a notebook: what its latents are, and what they make of an image of one's own.

study = saev.open_study(".")
cell = study["mosaic-dinov2_packaged-L10-topk"]
cell.explain("cat.jpg")          the latents that fire on an image, with maps and evidence
cell.find("stripes")             those that were chosen for a concept
cell.feature(36)                 one of them
cell.ask("cat.jpg")              what the study's heads read in the image
"""

from saev.study.answer import Answer as Answer
from saev.study.cell import Cell as Cell
from saev.study.explanation import Explanation as Explanation
from saev.study.explanation import Firing as Firing
from saev.study.feature import Exemplar as Exemplar
from saev.study.feature import Feature as Feature
from saev.study.folder import Study as Study
from saev.study.folder import open_study as open_study
