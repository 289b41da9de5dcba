"""Cells of a finished study: codes against a forward pass by hand, exemplars against a brute force."""

import base64
import copy
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import saev
from saev.activations import Store
from saev.data import Mosaic
from saev.errors import SaevError
from saev.sae import load_sae
from saev.study import Answer, Cell
from tests.activations.examples import CPU, make
from tests.intervention.examples import sae_of
from tests.study.conftest import CELL, UNLABELLED

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def cell(finished) -> Cell:
    return saev.open_study(finished, CPU)[CELL]


def on_white(image: Image.Image) -> np.ndarray:
    """RGB by the formula of compositing, in floats."""
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def as_timm_sees(vit, pixels: np.ndarray) -> np.ndarray:
    """(64, 64, 3) by timm's own evaluation transform."""
    config = timm.data.resolve_model_data_config(vit) | {"input_size": (3, 64, 64)}
    x = timm.data.create_transform(**config)(Image.fromarray(pixels))
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    return np.rint(255 * (x * std + mean).permute(1, 2, 0).numpy())


def noise(*shape: int) -> np.ndarray:
    """Of blocks, so that resampling leaves much of it."""
    small = RNG.integers(0, 256, (-(-shape[0] // 9), -(-shape[1] // 9), *shape[2:]), np.uint8)
    return small.repeat(9, 0).repeat(9, 1)[: shape[0], : shape[1]]


IMAGES = {
    "RGB of the study's size": Image.fromarray(noise(64, 64, 3)),
    "tall and grey": Image.fromarray(noise(200, 64)),
    "tall with a palette": Image.fromarray(noise(160, 80, 3)).quantize(16),
    "tall and half transparent": Image.fromarray(noise(200, 100, 4)),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_codes_are_those_of_a_forward_pass_by_hand(cell, finished, kind):
    """timm's own model, stopped by a hook after the layer, and the SAE of the file."""
    image = IMAGES[kind]
    vit = cell.backbone.model
    # Pillow composites in integers, and timm resizes before it crops.
    assert np.abs(cell.seen(image) - as_timm_sees(vit, on_white(image))).mean() < 0.5
    sae, seen = load_sae(finished / f"data/sae/{CELL}"), []
    hook = vit.blocks[4].register_forward_hook(lambda block, args, x: seen.append(x))
    mean, std = (torch.tensor(vit.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    x = torch.from_numpy(cell.seen(image)).permute(2, 0, 1) / 255
    with torch.inference_mode():
        vit(((x - mean) / std)[None])
        expected = sae.encode(seen[0][0, 1:]).numpy()
    hook.remove()
    found = cell.explain(image, k=5)
    np.testing.assert_allclose(found.codes_ts.toarray(), expected, rtol=1e-4, atol=1e-5)
    best = sorted(range(96), key=lambda s: (-expected[:, s].mean(), s))[:5]
    assert [of.feature.latent for of in found] == best
    for of in found:
        code_p = expected[:, of.feature.latent]
        np.testing.assert_allclose(of.map, code_p.reshape(4, 4), rtol=1e-4, atol=1e-5)
        assert of.mean == pytest.approx(code_p.mean(), rel=1e-4)
        assert of.share == pytest.approx((code_p > 0).mean())


def test_some_patches_and_rarity(cell):
    image = IMAGES["tall and grey"]
    where = np.zeros((4, 4), bool)
    where[1, 2] = where[3, 0] = True
    codes = cell.explain(image).codes_ts.toarray()[[6, 12]].mean(0)
    store = Store(cell.tokens.path)
    x_nd = torch.from_numpy(store.acts(4)[:][:, 1:].astype(np.float32)).flatten(0, 1)
    density = (cell.sae.encode(x_nd) > 0).float().mean(0).numpy()
    for by, score in (("strength", codes), ("rarity", codes * -np.log(np.maximum(density, 1e-9)))):
        found = [of.feature.latent for of in cell.explain(image, where=where, by=by, k=96)]
        assert found == [s for s in np.argsort(-score, kind="stable") if codes[s] > 0]


def test_exemplars_are_the_strongest_of_all_training_images(cell, finished):
    """From the activations as they are stored, all at once."""
    tokens = Store(finished / "data/acts/mosaic-tiny/train").tokens(4)
    x_btd = torch.from_numpy(tokens.store.acts(4)[:][:, 1:].astype(np.float32))
    code_bps = cell.sae.encode(x_btd.flatten(0, 1)).reshape(48, 16, 96).numpy()
    latent = int((code_bps > 0).sum((0, 1)).argmax())
    feature = cell.feature(np.int64(latent))
    assert feature.maximum == pytest.approx(code_bps[..., latent].max(), rel=1e-3)
    assert feature.density == pytest.approx((code_bps[..., latent] > 0).mean())
    strongest = np.sort(code_bps[..., latent].max(1))[::-1]
    for rank, one in enumerate(feature.top(9)):
        assert one.code == pytest.approx(strongest[rank], rel=1e-3)
        np.testing.assert_allclose(one.map.ravel(), code_bps[one.image, :, latent], rtol=2e-3, atol=1e-6)
        scene = Mosaic(split="train", n=48, size=64)[one.image].image
        np.testing.assert_array_equal(one.pixels, cell.seen(scene))
    assert len(feature.top(2)) == 2


def test_a_head_is_asked_as_its_file_says(cell, finished):
    image = IMAGES["RGB of the study's size"]
    head = load_file(finished / "data/head/mosaic-tiny/concepts/head.safetensors")
    names = json.loads((finished / "data/head/mosaic-tiny/concepts/config.json").read_text())["classes"]
    with torch.inference_mode():
        pixels = cell.backbone.preprocess.normalise(torch.from_numpy(cell.seen(image)[None]))
        final = cell.backbone.model.forward_features(pixels)[0, 1:]
        logits = final @ head["weight"].T + head["bias"]
    answer = cell.ask(image)
    assert answer.names == tuple(names) and repr(answer).startswith("Answer(mean logit over 16 patches: ")
    for c, name in enumerate(names):
        np.testing.assert_allclose(answer[name], logits[:, c].reshape(4, 4), rtol=1e-4, atol=1e-5)
    assert cell.ask(image, "classes").names == Mosaic.classes


def test_latents_are_found_by_what_the_probe_chose_them_for(cell, finished):
    rows = [
        row
        for kind in ("classes", "concepts")
        for row in json.loads((finished / f"results/probe/{CELL}/{kind}.json").read_text())
    ]
    of_stripes = next(row for row in rows if row["name"] == "stripes")
    (feature,) = cell.find("Stripes")
    assert feature.latent == of_stripes["latent"]
    (told,) = (line for line in feature.evidence if line.startswith("stripes (concepts): "))
    assert f"F1 {of_stripes['f1']:.2f}" in told and f"q {of_stripes['q']:.2g}" in told
    assert ("no better than chance" in told) == (of_stripes["q"] > 0.05)
    best = {row["latent"]: max(of["f1"] for of in rows if of["latent"] == row["latent"]) for row in rows}
    every = cell.find("", k=96)
    assert {of.latent for of in every} == set(best)
    assert [best[of.latent] for of in every] == sorted(best.values(), reverse=True)
    assert cell.find("no such word") == []


@pytest.mark.parametrize("kinds", [("cls",), ("meanpool",), ("cls", "patch"), ("patch", "meanpool")])
def test_an_sae_of_other_tokens_reads_them_of_a_new_image(tiny_vit, kinds, tmp_path):
    scenes = Mosaic(split="train", n=8, size=64)
    tokens = make(tiny_vit, tmp_path, scenes, tokens=["cls", "patch", "meanpool"]).tokens(1, kinds)
    sae = sae_of(tokens)
    parts = dict.fromkeys(("codes", "profile", "images"))
    cell = Cell(
        **{"name": "by hand", "sae": sae, "backbone": tiny_vit, "tokens": tokens, "machine": CPU},
        **{"told": {}, "tasks": {}, **parts},
    )
    image = IMAGES["RGB of the study's size"]
    seen = []
    hook = tiny_vit.model.blocks[1].register_forward_hook(lambda block, args, x: seen.append(x[0]))
    with torch.inference_mode():
        tiny_vit.model(tiny_vit.preprocess.normalise(torch.from_numpy(cell.seen(image)[None])))
    hook.remove()
    x = {"cls": seen[0][:1], "patch": seen[0][1:], "meanpool": seen[0][1:].mean(0, keepdim=True)}
    expected = sae.encode(torch.cat([x[kind] for kind in kinds])).numpy()
    np.testing.assert_allclose(cell.encode(image).toarray(), expected, rtol=1e-4, atol=1e-5)
    map_hw = cell.map_of(expected[:, 3])
    first = 1 if kinds == ("cls", "patch") else 0
    by_hand = expected[first : first + 16, 3].reshape(4, 4) if "patch" in kinds else expected[:1, [3]]
    np.testing.assert_array_equal(map_hw, by_hand)


def test_an_image_in_any_form_is_the_same_image(cell, tmp_path):
    turned = Image.fromarray(noise(90, 64, 3))
    exif = turned.getexif()
    exif[0x0112] = 6  # lies on its side
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(np.asarray(turned), -1)
    forms = (
        tmp_path / "turned.png",
        str(tmp_path / "turned.png"),
        (tmp_path / "turned.png").read_bytes(),
        Image.open(tmp_path / "turned.png"),
        upright,
    )
    for form in forms:
        np.testing.assert_array_equal(cell.seen(form), cell.seen(upright))
    grey = noise(64, 64)
    np.testing.assert_array_equal(cell.seen(grey), cell.seen(np.stack([grey] * 3, -1)))


def truncated() -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(file, "jpeg")
    return Image.open(io.BytesIO(file.getvalue()[:-400]))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda cell: cell.explain(3), "the image must be a PIL image, an array, a path or bytes, got a int"),
        (
            lambda cell: cell.explain(np.zeros((4, 4, 3))),
            "an image's array must be uint8 of shape (h, w, 3) or",
        ),
        (lambda cell: cell.explain(np.zeros((0, 4, 3), np.uint8)), "an image's array must be uint8 of shape"),
        (lambda cell: cell.explain(truncated()), "the image cannot be decoded (image file is truncated"),
        (lambda cell: cell.explain("none.jpg"), "none.jpg: no such file"),
        (
            lambda cell: cell.explain(noise(64, 64), by="size"),
            "by must be one of strength, rarity, got 'size'",
        ),
        (lambda cell: cell.explain(noise(64, 64), k=0), "k must be an integer in [1, 96], got 0"),
        (
            lambda cell: cell.explain(noise(64, 64), where=np.ones((4, 5), bool)),
            "where must be a bool mask of 4 x 4 patches, got bool of shape (4, 5)",
        ),
        (
            lambda cell: cell.explain(noise(64, 64), where=np.zeros((4, 4), bool)),
            "where must hold a patch that the SAE reads",
        ),
        (lambda cell: cell.feature(96), "latent must be an integer in [0, 95], got 96"),
        (lambda cell: cell.ask(noise(64, 64), "colours"), "the study has heads of classes, concepts, got"),
        (lambda cell: cell.ask(noise(64, 64))["cats"], "the head was asked for tint, grey, "),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(cell, ask, message):
    with pytest.raises(SaevError) as error:
        ask(cell)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_cards_are_whole_in_themselves_and_escape_names(cell):
    latent = cell.find("")[0].latent
    row = {**cell.told[latent]["concepts"][0], "name": "<b>&", "claimed": True}
    feature = replace(cell, told={latent: {"concepts": [row]}}).feature(latent)
    html = feature._repr_html_()
    assert "<b>" not in html and html.count("&lt;b&gt;&amp;") == 2  # its title, and the line of its scores
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) == 2 * len(feature.top()) > 0 and "http" not in html
    for source in sources:
        head, _, content = source.partition(",")
        assert head == "data:image/webp;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (64, 64)
    assert repr(feature).splitlines()[0].startswith(f"Feature {latent}, <b>&: fires on ")


def test_cards_of_an_image_are_the_same_bytes_again(cell):
    image = noise(64, 64)
    html = cell.explain(image, k=2)._repr_html_()
    assert html == cell.explain(image, k=2)._repr_html_()
    assert html.count("<section") == 2 and html.count(">here<") == 2


def test_a_dead_latent_says_so(cell):
    profile = cell.profile._replace(
        maximum_s=np.zeros_like(cell.profile.maximum_s),
        strongest_sk=np.full_like(cell.profile.strongest_sk, -1),
    )
    dead = replace(cell, profile=profile, told={}).feature(0)
    assert dead.top() == [] and repr(dead) == "Feature 0: dead, it fires on no training token"
    assert "It fires on no training image." in dead._repr_html_()


def test_a_study_without_labels_shows_where_its_latents_fire_and_claims_nothing(unlabelled):
    cell = saev.open_study(unlabelled, CPU)[UNLABELLED]
    file = sorted((unlabelled / "images/val").iterdir())[1]
    found = cell.explain(file, k=3)
    expected = cell.encode(Image.open(file)).toarray()
    np.testing.assert_array_equal(found.codes_ts.toarray(), expected)
    assert [of.feature.latent for of in found] == np.argsort(-expected.mean(0), kind="stable")[:3].tolist()
    assert found._repr_html_().count("No stage of the study has looked at it.") == 3
    exemplar = found[0].feature.top(1)[0]
    of_file = sorted((unlabelled / "images/train").iterdir())[exemplar.image]
    np.testing.assert_array_equal(exemplar.pixels, cell.seen(of_file))
    assert cell.find("") == [] and found[0].feature.concept is None
    with pytest.raises(SaevError, match="the study has heads of nothing, got 'concepts'"):
        cell.ask(file)


def test_an_answer_on_an_image_as_a_whole_is_a_number():
    answer = Answer(("cat", "dog"), np.array([[-1.25, 2.5]], np.float32), ())
    assert answer["dog"] == 2.5 and answer["dog"].shape == ()
    assert repr(answer) == "Answer(mean logit over the image: dog +2.50, cat -1.25)"


def test_on_another_device(cell, elsewhere):
    image = IMAGES["tall and grey"]
    here, asked = cell.encode(image).toarray(), cell.ask(image)
    parts = ("sae", "backbone", "tasks")
    there = replace(cell, machine=elsewhere, **{part: copy.deepcopy(getattr(cell, part)) for part in parts})
    np.testing.assert_allclose(there.encode(image).toarray(), here, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(there.ask(image).logits_uc, asked.logits_uc, rtol=1e-4, atol=1e-5)
