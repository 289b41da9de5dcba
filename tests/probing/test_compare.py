"""Two dictionaries on the same concepts: planted differences are told, and what is alike is told as that."""

import numpy as np
import pytest

from saev.errors import SaevError
from saev.probing import Splits, differences, load_matches, match_concepts, save_matches
from tests.probing.examples import classes_of, codes_of

NAMES = ("both", "here", "weaker there", "neither")


def matched(noise_c, seed, n=2400):
    """Latent c fires on class c but for a share of the units; the classes are the same for every seed."""
    labels = np.random.default_rng(0).integers(0, 4, n)
    rng = np.random.default_rng(seed)
    wrong = rng.random((n, 4)) < np.array(noise_c)
    dense = 2.0 * ((labels[:, None] == np.arange(4)) ^ wrong)
    codes, asked = codes_of(dense), classes_of(labels, 4, names=NAMES)
    return match_concepts(Splits(codes, codes, asked, asked), (), times=99)


def test_the_verdicts_are_those_that_were_planted():
    here = matched((0.02, 0.02, 0.02, 0.5), 1)
    there = matched((0.02, 0.5, 0.1, 0.5), 2)
    found = {row.name: row for row in differences(here, there, margin=0.1)}
    expected = ["alike", "only here", "more here"]
    assert [found[name].verdict for name in NAMES[:3]] == expected
    assert found["neither"].verdict in ("alike", "unsettled")
    for match, other in zip(here, there, strict=True):
        row = found[match.name].f1
        assert row.value == pytest.approx(match.scores["f1"] - other.scores["f1"])
        assert row.low <= row.value <= row.high
    back = {row.name: row.verdict for row in differences(there, here, margin=0.1)}
    assert [back[name] for name in NAMES[:3]] == ["alike", "only there", "more there"]


def test_no_difference_is_claimed_where_there_is_none():
    """At q = 0.05 in at most one of twenty comparisons, and a deviation."""
    claims = [
        any(row.f1.q <= 0.05 for row in differences(matched((0.2,) * 4, i), matched((0.2,) * 4, i + 100)))
        for i in range(40)
    ]
    assert np.mean(claims) <= 0.05 + 2 * (0.05 * 0.95 / 40) ** 0.5


def test_a_comparison_needs_the_same_clusters_and_ten_of_them():
    here = matched((0.1,) * 4, 1)
    with pytest.raises(SaevError, match="both was judged on 600 clusters here and 500 there"):
        differences(here, matched((0.1,) * 4, 1, n=2000))
    few = [matched((0.1,) * 4, seed, n=36) for seed in (1, 2)]
    assert {row.verdict for row in differences(*few)} == {"unsettled"}
    assert differences(here, []) == []


def test_matches_are_read_as_they_were_written(tmp_path):
    found = {"classes": matched((0.1, 0.1, 0.3, 0.5), 1), "concepts": []}
    save_matches(found, tmp_path / "matches.safetensors")
    read = load_matches(tmp_path / "matches.safetensors")
    assert read.keys() == found.keys() and read["concepts"] == []
    for one, other in zip(read["classes"], found["classes"], strict=True):
        assert one.row() == other.row()
        np.testing.assert_array_equal(one.sums_gm, other.sums_gm)
        np.testing.assert_array_equal(one.cluster_g, other.cluster_g)
    (tmp_path / "matches.safetensors").write_bytes(b"no")
    with pytest.raises(SaevError, match="damaged .*; run the probe stage again"):
        load_matches(tmp_path / "matches.safetensors")
