"""Hypothesis files: what they must say, and what two of them mean."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.data.attributes import CONCEPTS
from saev.data.photographs import PHOTOGRAPHS
from saev.errors import SaevError
from saev.hypotheses import fingerprint, read_hypotheses
from tests.hypotheses.examples import WORDS, hypothesis

SHIPPED = Path(__file__).parents[2] / "conf/hypothesis"
GOOD = yaml.safe_load(WORDS)


def read(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_hypotheses(folder)


def test_the_shipped_files_are_hypotheses_on_the_embedded_study():
    shipped = read_hypotheses(SHIPPED)
    assert len(shipped) >= 10 and [of.name for of in shipped] == sorted(of.name for of in shipped)
    for of in shipped:
        assert of.concept in (CONCEPTS if of.task == "concepts" else PHOTOGRAPHS), of.name
        assert of.draws >= 3, of.name
        # Four photographs are sealed, of which no test can say anything about others.
        assert of.independent == "images" or of.split == "val", of.name
    expected = [file for file in SHIPPED.glob("*.yaml") if "Expected to fail" in file.read_text()]
    assert len(expected) >= 3 and {of.kind for of in shipped} == {"exploratory", "confirmatory"}


def test_a_file_says_what_the_hypothesis_has_and_gives_it_its_name(tmp_path):
    (found,) = read(tmp_path, stripes=WORDS)
    assert found == hypothesis("stripes") and found.strength == -0.5 and found.latents is None
    (tmp_path / "stripes.yaml").write_text(WORDS.replace("selector: best f1", "latents: [9, 2]"))
    (found,) = read_hypotheses(tmp_path)
    assert found.latents == (2, 9) and found.selector is None


def test_an_empty_folder_holds_none_and_a_missing_one_is_told(tmp_path):
    assert read_hypotheses(tmp_path) == []
    with pytest.raises(SaevError, match=r"missing: no such folder of hypotheses"):
        read_hypotheses(tmp_path / "missing")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("claim", "' '", "claim must be a string that is not empty, got ' '"),
        ("kind", "sure", "kind must be one of exploratory, confirmatory, got 'sure'"),
        ("cell", "a/b", "cell must be a name, 1 to 100 characters without a slash, got 'a/b'"),
        ("task", "scenes", "task must be one of classes, concepts, got 'scenes'"),
        ("concept", "[]", "concept must be a string that is not empty, got []"),
        ("selector", "7", "selector must be a string that is not empty, got 7"),
        ("selector", "null", "must have one of selector and latents, got selector None and latents None"),
        ("latents", "[3]", "must have one of selector and latents, got selector 'best f1' and latents (3,)"),
        ("edit", "push", "edit must be one of set, ablate, scale, add, clamp, got 'push'"),
        ("edit", "ablate", "strength must be 0.0, got -0.5"),
        ("place", "here", "place must be one of .*, got 'here'"),
        ("strength", "1e7", "strength must be a number .*, got '1e7'"),  # YAML 1.1 asks for a dot
        ("strength", ".nan", "strength must be a number .*, got nan"),
        ("strength", "[-1, -2]", "strength must be a number .*, got [-1, -2]"),
        ("control", "none", "control must be one of .*, got 'none'"),
        ("draws", "0", "draws must be an integer in [1, 1000], got 0"),
        ("draws", "true", "draws must be an integer in [1, 1000], got True"),
        ("measure", "f1", "measure must be one of changed, logit, probability, reproduced, got 'f1'"),
        ("direction", "on", "direction must be one of up, down, changes, got True"),
        ("smallest", "-0.1", "smallest must be a number >= 0 and <= 1000000.0, got -0.1"),
        ("margin", "0", "margin must be a number > 0 and <= 1000000.0, got 0"),
        ("split", "train", "split must be one of val, sealed, got 'train'"),
        ("split", "sealed", "split must be val, got 'sealed'"),
        ("kind", "confirmatory", "split must be sealed, got 'val'"),
        ("images", "0.5", "images must be an integer .*, got 0.5"),
        ("independent", "patches", "independent must be one of clusters, images, got 'patches'"),
        ("strenght", "1", "strenght is no option; there are claim, .*"),
        ("name", "stripes", "name is no option; there are claim, .*"),
    ],
)
def test_a_wrong_value_is_told_with_its_file_key_and_what_would_be_right(tmp_path, key, value, expected):
    lines = [line for line in WORDS.strip().splitlines() if not line.startswith(f"{key}:")]
    pattern = re.escape(expected).replace(r"\.\*", ".*")
    with pytest.raises(SaevError, match=rf"/wrong\.yaml: hypothesis[. ]{pattern}$"):
        read(tmp_path, wrong="\n".join([*lines, f"{key}: {value}"]))


@pytest.mark.parametrize("key", [key for key in GOOD if key != "selector"])
def test_nothing_that_the_test_depends_on_has_a_default(tmp_path, key):
    lines = [line for line in WORDS.strip().splitlines() if not line.startswith(f"{key}:")]
    with pytest.raises(SaevError, match=rf"/short\.yaml: hypothesis\.{key} is missing$"):
        read(tmp_path, short="\n".join(lines))


@pytest.mark.parametrize("latents", ["[]", "[3, 3]", "[-1]", "[1.5]"])
def test_latents_are_some_each_once(tmp_path, latents):
    with pytest.raises(SaevError, match=r"/a\.yaml: hypothesis\.latents must be .*, got "):
        read(tmp_path, a=WORDS.replace("selector: best f1", f"latents: {latents}"))


@pytest.mark.parametrize("measure", ["changed", "probability"])
@pytest.mark.parametrize("key", ["smallest", "margin"])
def test_of_a_share_nothing_above_1_can_be_claimed(measure, key):
    with pytest.raises(SaevError, match=rf"hypothesis\.{key} must be < 1 of a share, {measure}, got 1.5"):
        hypothesis(measure=measure, **{key: 1.5})
    assert getattr(hypothesis(measure="logit", **{key: 1.5}), key) == 1.5


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"claim",
        b"- claim\n- kind",
        b"claim: [",
        b"\xff\xfe\xff",
        b"claim: \x00",
        b"? [a]\n: b",
        b"claim: !!python/object/apply:os.system ['true']",
        b"claim: 2001-13-45",
        b"images: " + b"9" * 5000,
        b"[" * 1500,
        WORDS.encode() + b"strength: -1\n",
        WORDS.encode() + b"---\nclaim: a second\n",
        b"a: &a [" + b"1," * 9 + b"]\nb: &b [" + b"*a," * 9 + b"]\nclaim: [" + b"*b," * 9 + b"]",
        WORDS.replace("draws: ", "draws: 0").encode(),
        WORDS.replace("draws: ", "draws: 0x" + "f" * 5000).encode(),
    ],
    ids=range(16),
)
def test_what_is_no_hypothesis_file_is_one_line_that_names_it(tmp_path, text):
    with pytest.raises(SaevError, match=r"/broken\.yaml: ") as found:
        read(tmp_path, broken=text)
    assert "\n" not in str(found.value) and len(str(found.value)) < 6000


def test_a_file_that_would_not_be_read_is_told(tmp_path):
    (tmp_path / "b.yml").write_text(WORDS)
    with pytest.raises(SaevError, match=r"/b\.yml: would not be read; call it b\.yaml$"):
        read(tmp_path, a=WORDS)


def test_a_value_given_twice_is_refused(tmp_path):
    with pytest.raises(SaevError, match=r"a\.yaml: hypothesis\.strength is there twice; leave one"):
        read(tmp_path, a=WORDS + "strength: -0.5\n")


def test_two_files_of_the_same_test_are_refused(tmp_path):
    again = "# Once more.\n" + WORDS.replace("claim: Setting", "claim: Perhaps setting")
    with pytest.raises(SaevError, match=r"/b\.yaml: the same test as a\.yaml; delete one"):
        read(tmp_path, a=WORDS, b=again)


values = st.fixed_dictionaries(
    {
        "strength": st.floats(-1e6, 1e6),
        "draws": st.integers(1, 1000),
        "smallest": st.floats(0, 1e6),
        "margin": st.none() | st.floats(1e-9, 1e6),
        "images": st.integers(1, 10**9),
        "place": st.sampled_from(["all", "class", "active"]),
        "direction": st.sampled_from(["up", "down", "changes"]),
        "measure": st.sampled_from(["logit", "reproduced"]),
    }
)


@settings(deadline=None)
@given(values, values)
def test_fingerprints_are_equal_just_where_the_tests_are(one, other):
    assert (fingerprint(hypothesis(**one)) == fingerprint(hypothesis(**other))) == (one == other)


@settings(deadline=None, max_examples=40)
@given(values, st.randoms(use_true_random=False))
def test_a_fingerprint_tells_nothing_of_name_words_order_and_spelling(tmp_path_factory, changes, rng):
    folder = tmp_path_factory.mktemp("spelled")
    content = GOOD | changes | {"claim": "In other words."}
    lines = [f"# a comment\n{yaml.safe_dump({key: value})}" for key, value in content.items()]
    rng.shuffle(lines)
    (found,) = read(folder, renamed="\n".join(lines))
    assert fingerprint(found) == fingerprint(hypothesis(**changes))


def test_numbers_and_latents_mean_the_same_however_they_are_written():
    def same(one, other):
        return fingerprint(hypothesis(**one)) == fingerprint(hypothesis(**other))

    assert same({"strength": -1, "smallest": 0}, {"strength": -1.0, "smallest": -0.0})
    listed = {"selector": None, "latents": [4, 1]}
    assert same(listed, {"selector": None, "latents": (1, 4)}) and not same(listed, {})
    sealed = {"kind": "confirmatory", "split": "sealed"}
    assert not same(sealed, {})
