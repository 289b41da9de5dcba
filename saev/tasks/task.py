"""A task: what a model is asked, by a frozen linear map on a readout of its final tokens.

    logits (b, u, c) = readout(final tokens) (b, u, d) @ weight (c, d)^T + bias (c,)

`u` is what the task decides on: every patch of an image, or 1 for the image as a whole. One shape for both
lets counting, bootstrap and verdicts know nothing of the difference.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saev.activations import Origin, Store, agree
from saev.backbones.backbone import Backbone
from saev.data.sample import IGNORE
from saev.errors import SaevError, first_line
from saev.files import digest, write_by, write_json
from saev.machine import Machine
from saev.outputs import new_directory


def _patches(backbone: Backbone, final_btd: Tensor) -> Tensor:
    return final_btd[:, slice(*backbone.tokens["patch"])]


def _cls(backbone: Backbone, final_btd: Tensor) -> Tensor:
    return final_btd[:, :1]


def _mean(backbone: Backbone, final_btd: Tensor) -> Tensor:
    return _patches(backbone, final_btd).mean(1, keepdim=True)


def _joint(backbone: Backbone, final_btd: Tensor) -> Tensor:
    return F.normalize(backbone.output(final_btd), dim=-1)[:, None]


READOUTS: dict[str, Callable[[Backbone, Tensor], Tensor]] = {
    "patches": _patches,
    "cls": _cls,
    "mean": _mean,
    "joint": _joint,
}
"""Final normalised tokens (b, t, d) -> (b, u, o): every patch token; the cls token; the mean patch token; the
model's own output at unit length, which text prompts are compared with."""


FILES = {
    r"(concepts/)?config\.json": '"readout"',
    r"(concepts/)?head\.safetensors": None,
}
"""By which a task's folder, with that of its concepts in it, is known (saev/outputs.py)."""


class Asking(Protocol):
    """The options of a kind of task, of which a file of conf/task names one."""

    ignore: tuple[str, ...]

    def fit(self, backbone: Backbone, store: Store, layer: int, seed: int, machine: Machine) -> "Task | None":
        """The task, by a training split of which `layer` is stored; None where its labels do not do."""


class Task(nn.Module):
    """One task of one backbone, of the weight (c, d) and the bias (c,) of its linear map.

    Attributes:
        classes: names of the c logits.
        several: whether a unit can be of several of them: each logit then answers a question of its own.
        ignored: indices of classes that count in nothing.
        readout: one of READOUTS.
        origin: the backbone whose final tokens it reads, and the data that it was fitted to.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        linear: tuple[Tensor, Tensor],
        *,
        classes: tuple[str, ...],
        readout: str,
        origin: Origin,
        ignored: tuple[int, ...] = (),
        several: bool = False,
    ):
        super().__init__()
        for name, values in zip(("weight", "bias"), linear, strict=True):
            self.register_buffer(name, values)
        self.classes, self.readout, self.origin, self.ignored = classes, readout, origin, ignored
        self.several = several

    @property
    def decides_patches(self) -> bool:
        """Whether u is the patches of an image, and not the image."""
        return self.readout == "patches"

    def units(self, backbone: Backbone) -> int:
        """u: how many decisions of each image."""
        first, last = backbone.tokens["patch"]
        return last - first if self.decides_patches else 1

    def logits(self, backbone: Backbone, final_btd: Tensor) -> Tensor:
        """Final normalised tokens (b, t, d) -> logits (b, u, c), in float32."""
        return READOUTS[self.readout](backbone, final_btd).float() @ self.weight.T + self.bias

    def says(self, logits_buc: Tensor, c: int) -> Tensor:
        """(b, u) bool: whether the model takes each unit for one of class c."""
        return logits_buc[..., c] > 0 if self.several else logits_buc.argmax(-1) == c

    def shown(self, store: Store, images: np.ndarray, c: int) -> Tensor:
        """(b, u) int8: 1 where the unit is of class c, 0 where not, -1 where nobody knows."""
        if self.several:
            return torch.from_numpy(store.concepts()[images, :, c])
        truth_bu = self.truth(store, images)
        return torch.where(truth_bu == IGNORE, -1, (truth_bu == c).to(torch.int8))

    def truth(self, store: Store, images: np.ndarray) -> Tensor:
        """(b, u) int64 class of each unit, IGNORE where it is unknown or ignored; of one class each."""
        labels = store.patch_labels() if self.decides_patches else store.image_labels()[:, None]
        return torch.from_numpy(without(labels[images], self.ignored)).long()


def without(labels: np.ndarray, ignored: tuple[int, ...]) -> np.ndarray:
    """The labels, IGNORE in place of the ignored classes."""
    return np.where(np.isin(labels, ignored), np.uint16(IGNORE), labels)


def ignored_classes(names: tuple[str, ...], classes: tuple[str, ...], key: str) -> tuple[int, ...]:
    """Indices of the classes of these names. Raises SaevError, naming the option `key`, if there is no such
    class."""
    if unknown := [name for name in names if name not in classes]:
        raise SaevError(f"{key}: no class is called {unknown[0]!r}; there are {', '.join(classes[:10])}, ...")
    return tuple(classes.index(name) for name in names)


def save_task(task: Task | None, path: str | Path, reason: str = "") -> None:
    """Write the folder `path`: `head.safetensors` and `config.json`; of no task the `reason` why there is
    none."""
    from safetensors.numpy import save_file

    with new_directory(path, FILES) as folder:
        if task is None:
            write_json(folder / "config.json", {"readout": None, "reason": reason})
            return
        arrays = {key: value.cpu().numpy() for key, value in task.state_dict().items()}
        config = {"readout": task.readout, "classes": list(task.classes), "ignored": list(task.ignored)}
        config |= {"several": task.several, "origin": task.origin.as_dict()}
        write_by(lambda file: save_file(arrays, file), folder / "head.safetensors")
        write_json(folder / "config.json", {**config, "sha256": digest(config, arrays)})


def load_task(path: str | Path, store: Store) -> Task | None:
    """Read a task of the backbone that recorded `store`; None where the data had no labels to fit one to.

    Raises:
        SaevError: no task there, a damaged one, or one of another backbone or of other classes.
    """
    from safetensors import SafetensorError

    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise SaevError(f"{path}: no task there; fit one with the head stage")
    try:
        task = _read(folder)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, SaevError) as error:
        raise SaevError(f"{path}: damaged ({first_line(error)}); run the head stage again") from None
    if task is None:
        return None
    here = store.origin(store.layers[-1], ("patch",))
    agree(task.origin, here, f"the task {path}", str(store.path), but=("layer", "kinds", "data"))
    names = tuple(store.attrs["concepts"]) if task.several else store.classes
    if task.classes != names:
        raise SaevError(f"{path}: its {len(task.classes)} classes are not the {len(names)} of {store.path}")
    return task


def _read(folder: Path) -> Task | None:
    """What `save_task` wrote; any error says how it is damaged."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    if config["readout"] is None:
        return None
    arrays, n = load_file(folder / "head.safetensors"), len(config["classes"])
    if config.pop("sha256") != digest(config, arrays):
        raise ValueError("head.safetensors or config.json was changed since they were written")
    weight, bias = torch.from_numpy(arrays["weight"]), torch.from_numpy(arrays["bias"])
    if (
        weight.shape[:-1] != (n,)
        or bias.shape != (n,)
        or not (weight.isfinite().all() and bias.isfinite().all())
    ):
        raise ValueError(f"head.safetensors holds no finite weights of {n} classes")
    return Task(
        (weight, bias),
        classes=tuple(config["classes"]),
        readout=config["readout"],
        origin=Origin.of(config["origin"]),
        ignored=tuple(config["ignored"]),
        several=config["several"],
    )
