"""A hypothesis, and studies of which the truth is known."""

import numpy as np
import yaml

from saev.hypotheses import Evidence, Hypothesis, Standing

WORDS = """
claim: Setting the stripes latent lowers the stripes logit as taking the stripes out does.
kind: exploratory
cell: mosaic-dinov2_packaged-L10-topk
task: concepts
concept: stripes
selector: best f1
edit: set
place: class
strength: -0.5
control: random latent
draws: 5
measure: reproduced
direction: up
smallest: 0.5
margin: null
split: val
images: 200
independent: clusters
"""
OPEN = Standing("exploratory", "says so", 3)


def hypothesis(name="stripes", **changes) -> Hypothesis:
    return Hypothesis(name=name, **(yaml.safe_load(WORDS) | changes))


def sizes(g: int) -> np.ndarray:
    """Of clusters of unlike sizes, the largest 8 times the smallest."""
    return np.geomspace(20, 160, g)


def study(rng, size_g, effect, *, others=None, draws=3, deviation=1.0) -> Evidence:
    """Clusters whose units have noise of their own, under an edit and under its controls."""
    noise_rg = rng.standard_normal((draws + 1, len(size_g))) * deviation * np.sqrt(size_g)
    shared_g = rng.standard_normal(len(size_g)) * size_g  # what edit and control do alike
    sums_rg2 = np.stack(np.broadcast_arrays(noise_rg + shared_g, size_g), -1)
    sums_rg2[0, :, 0] += effect * size_g
    others_g2 = None
    if others is not None:
        part_g = size_g * others * (1 + rng.uniform(-1, 1, len(size_g)))
        others_g2 = np.stack([part_g, size_g], 1)
    return Evidence(sums_rg2[0], sums_rg2[1:], others_g2)
