"""Studies by their folders, and the records of their latents."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import saev
from saev.errors import SaevError
from saev.files import read_yaml
from saev.study.evidence import read_evidence
from saev.study.words import sentences
from tests.activations.examples import CPU
from tests.pipeline.study import ROOT
from tests.study.conftest import CELL


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A study whose conf/ may be changed."""
    shutil.copytree(finished / "conf", tmp_path / "conf")
    for top in ("data", "results"):
        (tmp_path / top).symlink_to(finished / top)
    return tmp_path


def change(file: Path, **options) -> None:
    file.write_text(json.dumps({**read_yaml(file), **options}))


def test_a_study_names_its_finished_cells_and_opens_each_once(copy):
    grid = {"data": ["mosaic"], "backbones": ["tiny", "timm"], "layers": [4, 5], "saes": ["topk", "relu"]}
    change(copy / "conf/study.yaml", study=grid)
    study = saev.open_study(copy, CPU)
    assert study.cells == [CELL] and repr(study) == f"Study({copy}: {CELL})"
    cell = study[CELL]
    assert study[CELL] is cell and cell.layer == 4
    assert repr(cell).endswith("heads: classes, concepts; timm/test_vit)")
    with pytest.raises(SaevError, match=f"the finished cells are {CELL}, got 'other'"):
        study["other"]


def test_places_are_those_of_conf(copy, finished):
    """As a study that keeps its codes elsewhere says it."""
    spelled = (copy / "conf/paths.yaml").read_text()
    assert "codes: data/codes/${cell}" in spelled
    elsewhere = spelled.replace("data/codes/${cell}", "${sae.name}/${layer}/${store}")
    (copy / "conf/paths.yaml").write_text(elsewhere)
    with pytest.raises(SaevError, match="no cell of .*study.yaml is finished"):
        saev.open_study(copy)
    (copy / "topk/4").mkdir(parents=True)
    (copy / "topk/4/mosaic-tiny").symlink_to(finished / f"data/codes/{CELL}")
    assert saev.open_study(copy).cells == [CELL]
    (copy / "conf/paths.yaml").write_text(spelled + "\nother: ${nothing}\n")
    with pytest.raises(SaevError, match=r"conf/paths.yaml: \$\{nothing\} refers to nothing"):
        saev.open_study(copy)


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("backbone/tiny", {"model": "test_vit2"}, "the backbone: backbone 'timm/test_vit2' and weights"),
        (
            "backbone/tiny",
            {"_target_": "os.getcwd"},
            "backbone._target_ must name a part in saev.backbones, got ",
        ),
        (
            "backbone/tiny",
            {"size": 3},
            "backbone.size is no option; there are model, pretrained, checkpoint, ",
        ),
        ("data/mosaic", {"seed": 1}, "recorded from other images than"),
        ("data/mosaic", {"_target_": "saev.study.Cell"}, "data._target_ must name a part in saev.data, got "),
        ("sae/topk", {"tokens": ["cls"]}, "topk: kinds ('patch',), but "),
    ],
)
def test_a_conf_that_is_not_the_recordings_is_refused(copy, file, options, message):
    change(copy / f"conf/{file}.yaml", **options)
    with pytest.raises(SaevError) as error:
        saev.open_study(copy, CPU)[CELL]
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("study", "message"), [("[]", "study must hold the lists data, "), ("{}", "no cell of")]
)
def test_no_study_is_none(copy, study, message):
    axes = {axis: [] for axis in ("data", "backbones", "layers", "saes")}
    (copy / "conf/study.yaml").write_text(json.dumps({"study": axes if study == "{}" else []}))
    with pytest.raises(SaevError, match=message):
        saev.open_study(copy)
    with pytest.raises(SaevError, match="No such file"):
        saev.open_study(copy / "nowhere")


def test_the_names_of_saev_come_late():
    """Nothing heavy for `import saev`; then the very functions of their modules, and no other name."""
    code = (
        "import sys, saev\n"
        "assert {'open_study', 'edited', 'SaevError'} <= set(dir(saev)) and 'torch' not in sys.modules\n"
        "from saev.intervention.running import edited\n"
        "assert saev.edited is edited and not {'hydra', 'omegaconf', 'pipeline'} & set(sys.modules)\n"
        "import saev.study\n"
        "assert saev.open_study is saev.study.open_study\n"
        "assert not {'hydra', 'omegaconf', 'dvc', 'pipeline'} & set(sys.modules)\n"
        "saev.nothing\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr
    assert told.splitlines()[-1] == "AttributeError: module 'saev' has no attribute 'nothing'"


MATCH = {
    **{
        "name": "stripes",
        "latent": 7,
        "threshold": 0.0,
        "f1": 0.614,
        "low": 0.5,
        "high": 0.7,
        "shuffled": 0.2,
    },
    **{"p": 0.001, "q": 0.004, "detectable": 0.1, "f1_train": 0.6, "null_f1": 0.1, "null_f1_95": 0.2},
    **{"ap": 0.5, "prevalence": 0.2, "units": 90, "images": 9, "clusters": 4, "folds": 2, "same": 1.0},
}
CHANGED = {"class": "cat", "place": "all", "images": 3}
OUTCOME = {
    **{"reason": None, "images": 3, "strength": -2.0, "points": [], "curves": []},
    "classes": [
        {**CHANGED, "method": "chosen latent", "strength": -1.0, "target": 0.3, "other": 0.1},
        {**CHANGED, "method": "chosen latent", "strength": -2.0, "target": 0.75, "other": 0.125},
        {**CHANGED, "method": "random latent", "strength": -2.0, "target": 0.25, "other": 0.2},
        {
            **CHANGED,
            "method": "chosen latent",
            "place": "class",
            "strength": -2.0,
            "target": 0.9,
            "other": 0.0,
        },
    ],
}
REPRODUCED = {"name": "stripes", "claimed": True, "strength": -0.5, "photographs": 6}
COUNTERFACTUAL = {
    **{"reason": None, "pairs": 8, "arms": []},
    "attributes": [
        {**REPRODUCED, "method": "random latent", "pairs": 8, "share": -0.03},
        {**REPRODUCED, "method": "chosen latent", "pairs": 8, "share": 1.104},
        {**REPRODUCED, "name": "dots", "method": "chosen latent", "pairs": 8, "share": 0.5},
    ],
}
AGREEMENT = [
    {
        "name": "stripes",
        "latent": 7,
        "pairs": 8,
        "photographs": 6,
        "drop": 0.685,
        "control": -0.008,
        "q": 0.02,
    }
]


def plain(line: str) -> str:
    """As one types it."""
    return line.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_the_records_of_a_latent_in_sentences(tmp_path):
    def write(stage: str, file: str, record: object) -> None:
        path = tmp_path / "results" / stage / "cell" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))

    assert read_evidence(tmp_path, "cell") == {}
    write("probe", "concepts.json", [MATCH])
    cat = {**MATCH, "name": "cat", "latent": 9, "q": 0.3, "low": None, "high": None}
    write("probe", "classes.json", [cat])
    write("intervene", "outcome.json", OUTCOME)
    write("counterfactual", "counterfactual.json", COUNTERFACTUAL)
    write("causes", "agreement.json", AGREEMENT)
    told = read_evidence(tmp_path, "cell")
    assert set(told) == {7, 9}
    assert list(map(plain, sentences(told[7]))) == [
        "stripes (concepts): F1 0.61 [0.50, 0.70], by chance 0.20, q 0.004",
        "where stripes is taken out of the image its code falls by 68 %, by -1 % where another one is "
        "(q 0.02 that it goes out with it alone)",
        "set to -0.5 x its maximum it does 110 % of what taking stripes out of the image does "
        "(8 pairs; random latent -3 %)",
    ]
    assert list(map(plain, sentences(told[9]))) == [
        "cat (classes): F1 0.61, by chance 0.20, q 0.3: no better than chance",
        "set to -2 x its maximum everywhere it changes the answer on 75 % of what is cat and 12 % of all "
        "else (3 images; random latent 25 %)",
    ]
    assert sentences({}) == []
    write("causes", "agreement.json", [{"name": "stripes"}])
    with pytest.raises(SaevError, match=r"agreement.json: .* is missing; run the causes stage again"):
        read_evidence(tmp_path, "cell")
