import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.report import STAGES
from saev.report import Results, conclusions, gather, gather_comparisons, gather_verdicts, write_report
from saev.report.page import fixed, name, names, percent, signed, whole
from tests.report.studies import write_study
from tests.report.test_lettering import ODD

EMPTY = {"meta", "img", "br", "link"}


def written(page: Path, stores: list[dict]) -> None:
    """Write a page of the results beside it."""
    results = Results(page.parent)
    others = {"comparisons": gather_comparisons(results, []), "verdicts": gather_verdicts(results)}
    told = conclusions(stores, others["verdicts"])
    write_report(page, stores=stores, conclusions=told, parameters=dict.fromkeys(STAGES, OPTIONS), **others)


OPTIONS = {"seed": "0", "probe.name": '"<i>"'}


class Page(HTMLParser):
    """Tags with their attributes and the tags they are in, and the text of a page; badly nested tags fail."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict, list[str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), list(self.open)))
        self.text += " " * (tag in ("td", "th"))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for t, attributes, _ in self.tags if t == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def page(tmp_path, **study) -> Page:
    stores = gather(Results(tmp_path), write_study(tmp_path, **study))
    written(tmp_path / "index.html", stores)
    return Page((tmp_path / "index.html").read_text(encoding="utf-8"))


STUDIES = {
    "patches": {},
    "images": {"labelled": "images"},
    "unlabelled": {"labelled": None},
    "one class": {"classes": ("cat",)},
    "many": {"data": ("a", "b"), "backbones": ("v", "w"), "layers": (-2, 4), "saes": tuple("abcdefghij")},
    "odd names": {"classes": ODD},
    "150 classes": {"classes": tuple(f"class {i}" for i in range(150))},
}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_any_study_is_one_sound_page(tmp_path, study):
    made = page(tmp_path, **study)
    ids = [attributes["id"] for _, attributes, _ in made.tags if "id" in attributes]
    links = [a["href"] for a in made.all("a")]
    assert len(ids) == len(set(ids)) and links and all(link[:1] == "#" and link[1:] in ids for link in links)
    assert all(img["alt"] and img["loading"] == "lazy" and "://" not in img["src"] for img in made.all("img"))
    assert all("http" not in str(attributes) for _, attributes, _ in made.tags)  # nothing from elsewhere
    assert made.all("script") == [{}] and not made.all("link")
    levels = [int(tag[1]) for tag, _, _ in made.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    figures = re.findall(r"Figure (\d+)", made.text)
    assert list(map(int, figures)) == list(range(1, len(made.all("img")) + 1))
    # Below each figure, or the last page of several, what made it.
    html = (tmp_path / "index.html").read_text()
    assert len(made.all("figure")) == html.count('class="made"') + html.count("page 1 of 2")
    numbers = re.findall(r'class="number">([\d.]+)<', (tmp_path / "index.html").read_text())
    assert len(numbers) == len(set(numbers)) and numbers[:3] == ["1", "1.1", "1.1.1"]
    assert "None" not in made.text and "nan" not in made.words.split()
    # What is wider than a telephone scrolls by itself.
    assert len(made.all("table")) == len(re.findall(r'<div class="scroll"><table', html))
    again = gather(Results(tmp_path), write_study(tmp_path, **study))
    written(tmp_path / "again.html", again)
    assert (tmp_path / "again.html").read_text() == html


def test_the_page_is_headed_by_what_the_study_is(tmp_path):
    words = page(tmp_path).words
    head, _, rest = words.partition("Contents")
    for fact in (
        "birds in vit",
        "layer 10",
        "2 sparse autoencoders",
        "90",
        "30",
        "topk",
        "relu",
        "64",
        "31.5",
        "0.123",
    ):
        assert fact in head
    for number in ("77.7 %", "85.7 %", "0.099", "20 validation images"):
        assert number in rest


def test_claims_come_with_their_controls_and_what_was_resampled(tmp_path):
    words = page(tmp_path).words
    for said in (
        "90 % (30 %)60, 45 to 90",
        "Target changed is by edits on every token of strength \N{MINUS SIGN}2",
        "resampling the images, 20 clusters of them at most",
        "selectivity 0.930effect 0.38 0.30 to 0.46 0.550 0.550",
        "strength 0 (ablation)",
        "No SAE here can produce such a code",
        "Intervals hold 95 % and come from resampling the images",
        "On up to 20 validation images, means over 3 classes",
        "(0.10)",
    ):
        assert said in words
    assert "never" in words  # a control that changes 80 % of no target


@pytest.mark.parametrize(
    "study", [{"labelled": None}, {"classes": ("cat",)}], ids=["unlabelled", "one class"]
)
def test_what_needs_labels_says_why_it_is_absent(tmp_path, study):
    made = page(tmp_path, **study)
    assert (
        "The model is asked nothing: the training images have labels of fewer than 2 classes." in made.words
    )
    assert "Nothing was edited: there is no task." in made.words
    sources = [img["src"] for img in made.all("img")]
    assert sum("exemplars-" in source for source in sources) == 4
    assert not any("maps" in source or "tradeoff" in source for source in sources)
    if study.get("classes") is None:
        assert (
            "No class is labelled in both splits" in made.words
            and "Shown instead: the 1 latent" in made.words
        )
        assert not any("f1.svg" in source for source in sources)


def test_image_tasks_are_described_as_such(tmp_path):
    words = page(tmp_path, labelled="images").words
    assert "Every image has one of 3 classes" in words and "the class of the whole image" in words
    assert "[CLS] token" in words and "images of the class" in words
    assert "The code of an image is the largest of its tokens." in words


def test_names_show_as_themselves_and_never_as_markup(tmp_path):
    made = page(tmp_path, classes=("<b>bold</b> & [x]", "new\nline", "US$ and CA$", "猫", "n" * 200))
    for shown in ("<b>bold</b> & [x]", "new\\nline", "US$ and CA$", "猫", "n" * 24 + "…" + "n" * 24):
        assert shown in made.text
    assert "n" * 200 not in made.text


def test_only_an_sae_whose_latents_are_all_alike_is_called_unspecialised(tmp_path):
    assert "none has specialised" not in page(tmp_path).words  # half of its latents are rare
    stores = gather(Results(tmp_path), write_study(tmp_path))
    for layer in stores[0]["layers"]:
        for sae in layer["saes"]:
            sae["usual"] = sae["val"]["l0"] / sae["latents"]
    written(tmp_path / "index.html", stores)
    assert "none has specialised" in (tmp_path / "index.html").read_text()


def test_missing_content_is_an_error(tmp_path):
    stores = gather(Results(tmp_path), write_study(tmp_path))
    del stores[0]["layers"][0]["saes"][0]["doubts"]
    with pytest.raises(Exception, match="doubts"):
        written(tmp_path / "index.html", stores)
    assert not (tmp_path / "index.html").exists()


def test_numbers_as_they_are_printed():
    assert percent(0.1234) == "12.3\N{NO-BREAK SPACE}%" and percent(None) == fixed(None) == "\N{EN DASH}"
    assert (
        fixed(-0.5, 1) == "\N{MINUS SIGN}0.5" and signed(-2) == "\N{MINUS SIGN}2" and whole(1400.0) == "1,400"
    )
    assert name("a\nb") == "a\\nb" and names(list("abc"), 2) == "a, b and 1 more"
