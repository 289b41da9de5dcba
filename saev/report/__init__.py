"""Figures and the static HTML report, made of records alone: numbers, names and pictures."""

from saev.report.bars import f1_bars as f1_bars
from saev.report.causes import Caused as Caused
from saev.report.causes import cause_pages as cause_pages
from saev.report.compared import compared_concepts as compared_concepts
from saev.report.comparisons import gather_comparisons as gather_comparisons
from saev.report.concluded import conclusions as conclusions
from saev.report.contrasted import contrasted_latents as contrasted_latents
from saev.report.curves import density_histogram as density_histogram
from saev.report.curves import frontier as frontier
from saev.report.curves import loss_curves as loss_curves
from saev.report.exemplars import Exemplars as Exemplars
from saev.report.exemplars import exemplar_pages as exemplar_pages
from saev.report.gains import gains_over_floors as gains_over_floors
from saev.report.maps import EditedMap as EditedMap
from saev.report.maps import map_pages as map_pages
from saev.report.outcomes import tradeoff as tradeoff
from saev.report.page import write_report as write_report
from saev.report.reproduced import pairs_plot as pairs_plot
from saev.report.results import Results as Results
from saev.report.sparse import sparse_curves as sparse_curves
from saev.report.study import gather as gather
from saev.report.style import save as save
from saev.report.style import save_pages as save_pages
from saev.report.verdicts import gather_verdicts as gather_verdicts
from saev.report.verdicts import verdicts_plot as verdicts_plot
