"""Figures and the static HTML report, made of records alone: numbers, names and pictures."""

from saev.report.bars import f1_bars as f1_bars
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
from saev.report.records import Results as Results
from saev.report.study import gather as gather
from saev.report.style import save as save
from saev.report.style import save_pages as save_pages
from saev.report.tables import against_untrained as against_untrained
