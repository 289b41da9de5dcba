"""Figures and the static HTML report."""

from saev.report.atlas import exemplar_atlas as exemplar_atlas
from saev.report.atlas import segmentation_maps as segmentation_maps
from saev.report.curves import density_histogram as density_histogram
from saev.report.curves import f1_bars as f1_bars
from saev.report.curves import frontier as frontier
from saev.report.curves import loss_curves as loss_curves
from saev.report.curves import tradeoff as tradeoff
from saev.report.html import write_report as write_report
from saev.report.style import save as save
