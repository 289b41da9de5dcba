"""Predictions of what an edit does, registered before anyone looks, and the verdicts on them."""

from saev.hypotheses.hypothesis import Hypothesis as Hypothesis
from saev.hypotheses.hypothesis import Untestable as Untestable
from saev.hypotheses.hypothesis import fingerprint as fingerprint
from saev.hypotheses.hypothesis import read_hypotheses as read_hypotheses
from saev.hypotheses.ledger import Standing as Standing
from saev.hypotheses.ledger import open_sealed as open_sealed
from saev.hypotheses.ledger import read_ledger as read_ledger
from saev.hypotheses.ledger import register as register
from saev.hypotheses.ledger import standing as standing
from saev.hypotheses.verdict import Evidence as Evidence
from saev.hypotheses.verdict import Verdict as Verdict
from saev.hypotheses.verdict import judge as judge
