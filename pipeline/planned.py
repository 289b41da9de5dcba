"""One cell of a study as work and bytes, from its configuration alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.floors import has_learnt
from pipeline.new_study import PLACES
from pipeline.parts import build
from pipeline.stage import plain, read
from saev.errors import SaevError

if TYPE_CHECKING:  # torch is loaded by the command alone
    from saev.planning import Shape, Work
    from saev.planning.work import Dictionary

STAGES = {
    "extract": True,
    "head": False,
    **dict.fromkeys(("train", "floors", "features", "evaluate"), True),
    **dict.fromkeys(("probe", "contrast", "causes", "counterfactual", "intervene", "hypotheses"), False),
    "summary": True,
}
"""The stages of a cell, and whether all of their work has a rate."""
PASSES = 100
"""Of the model, for one image and latent of `causes`."""


class Part(NamedTuple):
    """A stage of a cell."""

    work: "Work"
    n_bytes: int = 0
    """That it leaves on disk."""


class Planned(NamedTuple):
    """A cell; what serves several cells, activations and the task, is told of the first of them."""

    of: tuple
    shape: "Shape"
    images: int
    tokens: int
    stages: dict[str, Part]


@dataclass
class Sizes:
    """What configurations do not say, as conf/plan.yaml assumes it; each backbone is built once."""

    told: dict

    def __post_init__(self):
        self._shapes: dict[str, Shape] = {}

    def images(self, cell: Cell, split: str) -> int:
        """Of a split: as its options say; as many as are in its place; without it, as conf/plan.yaml tells.

        Raises:
            SaevError: none of them does.
        """
        data = plain(cell.cfg.data)
        if "n" in data["splits"][split]:
            return data["splits"][split]["n"]
        places = [data[key] for key in PLACES if key in data]
        told = self.told["images"].get(data["name"], {}).get(split)
        if told is not None and places and not Path(places[0]).exists():  # on the hub, or not yet anywhere
            return told
        try:
            return len(cell.images(split))
        except (SaevError, OSError) as error:
            key = f"images.{data['name']}.{split}"
            raise SaevError(f"{error}; say +{key}=<n> to plan without them") from None

    def shape(self, cell: Cell) -> "Shape":
        """Of the backbone, built with random weights."""
        from saev.planning import Shape

        options = plain(cell.cfg.backbone)
        name = options.pop("name")
        if name not in self._shapes:
            if name in self.told["shapes"]:
                options |= {"model": self.told["shapes"][name], "pretrained": None}
            elif "pretrained" in options:
                options["pretrained"] = False if isinstance(options["pretrained"], bool) else None
            self._shapes[name] = Shape.of(build("backbone", options, "backbone"))
        return self._shapes[name]

    def dictionary(self, cell: Cell, d: int) -> "Dictionary":
        """The SAE in numbers."""
        from saev.planning.work import Dictionary

        of = cell.architecture
        return Dictionary(
            d,
            getattr(of, "d_sae", self.told["latents"]),
            getattr(of, "k", None) or self.told["l0"],
            getattr(of, "competitive", True),
            len(getattr(of, "prefixes", ())) or getattr(of, "random_prefixes", 0),
        )


def planned(options: dict[str, DictConfig], sizes: Sizes, of: tuple, *, first: bool) -> Planned:
    """A cell, from what its stages compose; `first` if no other of its data and backbone came before."""
    from saev.planning import Work, code_bytes, encoding, passing, recording, sae_bytes, store_bytes, training
    from saev.sae import Trained
    from saev.training import FLOORS, TWINS, Training

    cell, layer = Cell(options["train"]), options["train"].layer
    shape = sizes.shape(cell)
    n = {split: sizes.images(cell, split) for split in options["train"].acts}
    per_image = 1 if "cls" in cell.cfg.sae.get("tokens", ()) else shape.patches
    tokens = {split: count * per_image for split, count in n.items()}
    sae, start = sizes.dictionary(cell, shape.d), Work(starts=1)
    trained = isinstance(cell.architecture, Trained)
    steps = read(Training, cell.cfg.trainer).for_vectors(tokens["train"])
    once = training(sae, steps.batch_size, steps.n_steps)
    floors = options["floors"].floors
    if floors == "auto":
        floors = FLOORS if trained and has_learnt(cell.cfg.backbone) else ()
    twins = sum(name in TWINS for name in floors)
    size, task, evaluate = sae_bytes(shape.d, sae.d_sae), options["head"].task, options["evaluate"].evaluate
    measured = tokens["val"] * (1 + len(floors)) + min(evaluate.train_images, n["train"]) * per_image
    fidelity = min(evaluate.fidelity_images, n["val"])
    edits, causes = options["intervene"].intervene, options["causes"].causes
    edited = sum(
        len(arm.get("strengths", edits.strengths)) * arm.get("draws", 1) * arm.get("images", edits.images)
        for arm in edits.arms
    )
    parts = {
        "train": Part(start + (once if trained else Work()), size),
        "floors": Part(start + once * twins, size * len(floors)),
        "features": Part(
            start + encoding(sae, sum(tokens.values())),
            code_bytes(sum(tokens.values()), sae.active, sae.d_sae),
        ),
        "evaluate": Part(start + encoding(sae, measured) + passing(shape, 3 * fidelity, layer)),
        "probe": Part(start + encoding(sae, sum(tokens.values())) * len(floors)),
        "contrast": Part(start),
        "causes": Part(
            start + Work(vit=PASSES * causes.latents * causes.images * (shape.index(layer) + 1) * shape.block)
        ),
        "counterfactual": Part(start),
        "intervene": Part(start + passing(shape, edited, layer)),
        "hypotheses": Part(start),
        "summary": Part(start),
    }
    if first:
        layers = list(options["extract"].layers)
        kept = {"float16": 2, "float32": 4}[options["extract"].extract.dtype]
        every = sum(n.values())
        parts["extract"] = Part(
            start + recording(shape, every, layers, value=kept),
            store_bytes(shape, every, len(layers), value=kept),
        )
        last = max(layers, key=shape.index)
        parts["head"] = Part(start + passing(shape, min(task.max_images, n["train"]) + n["val"], last))
    return Planned(of, shape, sum(n.values()), sum(tokens.values()), parts)
