"""What chosen latents do where their concept is taken out: constructed codes, loops by hand, a real model."""

import copy

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings

from saev.activations import Origin
from saev.data import Mosaic
from saev.data.attributes import ATTRIBUTES, FAMILIES, OF_ITSELF
from saev.errors import SaevError
from saev.features.sight import Sight
from saev.probing.agreement import OTHERS, Chosen, agreements
from saev.probing.pairs import Seen, encode_pairs, first_pairs
from saev.sae import SAE, TopK
from tests.activations.examples import CPU
from tests.probing.examples import seeds

PAIRS = first_pairs(Mosaic(split="val", n=240, size=64))
T, S = 8, 160
"""Patches of a scene, latents."""
DOTS = np.array([pair.attribute == "dots" for pair in PAIRS])


def photograph(pair) -> str:
    return pair.present.regions[pair.region].photograph


def random_seen(seed: int = 0, *, density: float = 0.3) -> tuple[Seen, np.ndarray]:
    """The pairs, and codes that know nothing (m, 3, T, S), to be written to before they are `packed`."""
    rng = np.random.default_rng(seed)
    m = len(PAIRS)
    code = np.where(rng.random((m, 3, T, S)) < density, rng.exponential(1, (m, 3, T, S)), 0)
    area = rng.integers(1, T - 1, (m, 1))
    inside, outside = np.arange(T) < area, np.arange(T) > area  # and one that is of neither
    return Seen(PAIRS, None, inside, outside), code.astype(np.float32)


def packed(seen: Seen, code: np.ndarray) -> Seen:
    return seen._replace(csr=scipy.sparse.csr_array(code.reshape(-1, code.shape[-1])))


def figures(found) -> tuple[float | None, ...]:
    return tuple(of.value for of in (found.drop, found.control, found.outside, found.kept, found.agreement))


def test_a_latent_of_the_concept_alone_agrees_with_every_pair():
    seen, code = random_seen()
    code[..., 7] = 0
    code[:, 0, :, 7] = code[:, 2, :, 7] = 2.0 * (DOTS[:, None] & seen.inside_mt)
    (found,) = agreements(packed(seen, code), [Chosen("dots", 7, 1.0)])
    assert figures(found) == (1, 0, 0, 1, 1)
    assert found.drop.low == pytest.approx(1) and found.agreement.low == pytest.approx(1)
    assert found.agreement.p == found.agreement.q == 1 / (1 + OTHERS) and found.agreement.null < 0.1
    assert (found.pairs, found.photographs) == (24, len({photograph(pair) for pair in PAIRS[7::10]}))


@pytest.mark.parametrize(
    ("code_k", "expected"),
    [((2, 2, 2), (0, 0, 0, 1, 0)), ((2, 2, 0), (0, 1, 0, 0, 0)), ((0, 0, 0), (None, None, None, None, 0))],
    ids=["of the photograph", "of one crop of it", "silent"],
)
def test_a_latent_of_something_else_does_not_drop(code_k, expected):
    seen, code = random_seen()
    code[..., 7] = np.array(code_k)[:, None]
    (found,) = agreements(packed(seen, code), [Chosen("dots", 7, 1.0)])
    assert figures(found) == expected and found.agreement.p == 1


def test_latents_that_know_nothing_agree_as_their_null():
    seen, code = random_seen(3, density=0.5)
    n = 40
    found = agreements(packed(seen, code), [Chosen("dots", s, 0.3) for s in range(n)])
    beyond = [of.agreement.value - of.agreement.null for of in found]
    assert abs(np.mean(beyond)) < 3 * np.std(beyond) / n**0.5
    assert np.mean([of.agreement.p <= 0.05 for of in found]) <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5
    assert min(of.agreement.q for of in found) > 0.05
    for key in ("drop", "control"):
        values = [getattr(of, key).value for of in found]
        assert abs(np.mean(values)) < 3 * np.std(values) / n**0.5


def says(seen, code, m, s, threshold) -> list[bool]:
    """What latent s answers to the three scenes of pair m, patch by patch."""
    inside = np.flatnonzero(seen.inside_mt[m]).tolist()
    return [
        sum(bool(code[m, k, t, s] > np.float32(threshold)) for t in inside) >= len(inside) / 2
        for k in range(3)
    ]


def by_loops(seen, code, mine, s, threshold) -> list[float]:
    """The figures of latent s."""
    dropped = moved = spilt = whole = agreed = yes = kept = 0.0
    for m in mine:
        inside, outside = seen.inside_mt[m], seen.outside_mt[m]
        f = [float(np.mean(code[m, k, inside, s], dtype=float)) for k in range(3)]
        whole, dropped, moved = whole + f[0], dropped + f[0] - f[1], moved + f[0] - f[2]
        if outside.any():
            spilt += np.abs(code[m, 0, outside, s].astype(float) - code[m, 1, outside, s]).mean()
        present, absent, control = says(seen, code, m, s, threshold)
        yes, kept, agreed = yes + present, kept + (present and control), agreed + (present and not absent)
    return [dropped / whole, moved / whole, spilt / whole, kept / yes, agreed / len(mine)]


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_figures_and_null_are_those_of_loops_over_pairs_and_patches(seed):
    rng = np.random.default_rng(seed)
    seen, code = random_seen(seed, density=0.7)
    code *= rng.random(S) < 0.9  # some are dead
    code[..., 5] += 0.2 * (rng.random(code.shape[:3]) < 0.5)
    code[: len(ATTRIBUTES), 0, :, 5] = 1.5  # in the first pair of each at least it says yes
    name, threshold = str(rng.choice(list(ATTRIBUTES))), float(rng.choice([0, 0.1, 0.3]))
    (found,) = agreements(packed(seen, code), [Chosen(name, 5, threshold)], seed=seed)
    doubt = OF_ITSELF.get(name, ())  # of a scene that shows nothing else the pair is of no use
    mine = [m for m, pair in enumerate(PAIRS) if pair.attribute == name and photograph(pair) not in doubt]
    assert figures(found) == pytest.approx(by_loops(seen, code, mine, 5, threshold), rel=1e-5, abs=1e-9)
    n_s = (code > np.float32(threshold)).sum((0, 1, 2)).tolist()
    others = sorted((abs(n_s[s] - n_s[5]), s) for s in range(S) if s != 5 and n_s[s])[:OTHERS]
    answers_nm = [[says(seen, code, m, s, threshold) for m in mine] for _, s in others]
    null = [np.mean([present and not absent for present, absent, _ in of]) for of in answers_nm]
    assert found.agreement.null == pytest.approx(np.mean(null))
    assert found.agreement.p == (1 + sum(a >= found.agreement.value - 1e-9 for a in null)) / (1 + OTHERS)


def test_a_family_is_taken_out_with_its_last_member():
    expected = dict.fromkeys(FAMILIES, 0)
    for pair in PAIRS:
        present, absent = (scene.regions[pair.region] for scene in (pair.present, pair.absent))
        for family, members in FAMILIES.items():
            doubt = any(photograph(pair) in OF_ITSELF.get(member, ()) for member in members)
            shown, left = present.attributes & set(members), absent.attributes & set(members)
            expected[family] += bool(shown and not left and not doubt)
    seen, code = random_seen()
    found = agreements(packed(seen, code), [Chosen(family, 0, 0.0) for family in FAMILIES])
    assert {of.name: of.pairs for of in found} == expected
    assert all(24 < n < 72 for n in expected.values())


def test_a_record_is_flat_and_a_function_of_codes_and_seed():
    seen, code = random_seen()
    choices = [Chosen(name, 0, 0.3) for name in ("dots", "text")]
    rows = [[of.row() for of in agreements(packed(seen, code), choices, seed=seed)] for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    assert [(row["name"], row["latent"], row["threshold"]) for row in rows[0]] == choices
    assert all(type(value) in (str, int, float) for row in rows[0] for value in row.values())
    assert all(row["drop_low"] < row["drop"] < row["drop_high"] for row in rows[0])


def sae_of(backbone, **origin) -> SAE:
    sae = SAE(TopK(d_sae=64, k=6), torch.zeros(backbone.d), 1.0).requires_grad_(False)
    facts = {"backbone": backbone.name, "weights": backbone.weights_hash(), "geometry": backbone.geometry}
    sae.origin = Origin(**{**facts, "layer": 1, "kinds": ("patch",), "data": "others", **origin})
    return sae


@pytest.mark.parametrize("model", ["tiny_vit", "registers"])
def test_codes_and_patches_are_those_of_one_scene_after_another(model, request):
    backbone = request.getfixturevalue(model)
    area = np.bincount(PAIRS[7].present.region_of().ravel())
    without = PAIRS[7]._replace(region=int(area.argmin()))  # too small for a patch of its own
    sae, pairs = sae_of(backbone), [without, *PAIRS[:7]]
    seen, (rows, columns) = encode_pairs(pairs, Sight(sae, backbone, 1, CPU)), backbone.grid
    expected = []
    for pair in pairs:
        region = backbone.preprocess.crop_labels(pair.present.render().regions.of_pixel) == pair.region
        patches = [patch for row in np.split(region, rows) for patch in np.split(row, columns, 1)]
        inside = [patch.mean() >= 0.9 for patch in patches]
        if any(inside):
            expected.append((pair, inside, [not patch.any() for patch in patches]))
    kept, inside, outside = zip(*expected, strict=True)
    assert seen.pairs == list(kept) == PAIRS[:7]  # more than one batch
    np.testing.assert_array_equal(seen.inside_mt, inside)
    np.testing.assert_array_equal(seen.outside_mt, outside)
    code_mkts = seen.csr.toarray().reshape(len(kept), 3, rows * columns, 64)
    for pair, code_kts in zip(kept, code_mkts, strict=True):
        for scene, code_ts in zip((pair.present, pair.absent, pair.control), code_kts, strict=True):
            pixels = torch.from_numpy(backbone.preprocess.crop(scene.render().image))[None]
            (x_btd,) = backbone.prefix(backbone.preprocess.normalise(pixels), [1])
            alone_ts = sae.encode(x_btd[0, -rows * columns :]).numpy()
            np.testing.assert_allclose(code_ts, alone_ts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({"layer": 2}, "layer 1, but the SAE has layer 2"),
        ({"kinds": ("cls",)}, "the SAE must read patch tokens, it reads cls"),
    ],
)
def test_an_sae_of_other_activations_is_refused(tiny_vit, origin, message):
    with pytest.raises(SaevError, match=message):
        encode_pairs(PAIRS[:1], Sight(sae_of(tiny_vit, **origin), tiny_vit, 1, CPU))


def test_on_another_device(tiny_vit, elsewhere):
    expected = encode_pairs(PAIRS[:2], Sight(sae_of(tiny_vit), tiny_vit, 1, CPU))
    moved = copy.deepcopy(tiny_vit)
    found = encode_pairs(PAIRS[:2], Sight(sae_of(moved), moved, 1, elsewhere))
    np.testing.assert_allclose(found.csr.toarray(), expected.csr.toarray(), rtol=1e-4, atol=1e-4)
