"""A hypothesis: which edit of which feature is predicted to do what, and how much of it would count."""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from saev.checks import COUNT, Options, above, at_least, between, check_choice, check_keys, check_name
from saev.errors import SaevError, first_line
from saev.files import digest
from saev.intervention.controls import CONTROLS
from saev.intervention.edits import EDITS
from saev.intervention.places import PLACES
from saev.intervention.selectors import SELECTORS

SHARES = ("changed", "probability")
"""Measures of which no effect is larger than 1."""
ODD = re.compile(r"[-+]?0[0-9_]|.*:")
"""Numbers that are not what they look like: to YAML 012 is octal, and 1:30 is 90."""


class Untestable(SaevError):
    """What a hypothesis is about is not there to be tested: a fact of the study, unlike a file that is
    missing or damaged."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis(Options, section="hypothesis"):
    """One prediction, and the whole of its test; nothing of it is left to whoever sees the outcome.

    Whatever the test depends on has no default: it stands in the file, and so in what is registered.
    """

    name: str
    """The name of its file."""
    claim: str
    """What is claimed, in one sentence; the test does not read it."""
    kind: Literal["exploratory", "confirmatory"]
    """Whether it is tried on images that everyone has looked at, or on those that nobody has."""
    cell: str
    """The cell of the study (data-backbone-layer-sae) in which it is tested."""
    task: Literal["classes", "concepts"]
    """What the model is asked: the class of a unit, or of each concept whether the unit shows it."""
    concept: str
    """The class or concept of the task that the edit is aimed at."""
    selector: str | None = None
    """How the edited latents are chosen for the concept on training images, of SELECTORS."""
    latents: tuple[Annotated[int, at_least(0)], ...] | None = None
    """The edited latents, in place of a selector."""
    edit: str
    """One of EDITS."""
    place: str
    """One of PLACES."""
    strength: Annotated[float, between(-1e6, 1e6)]
    """Of the edit, as an arm has it; of `ablate` 0."""
    control: str
    """One of CONTROLS, which the effect is over."""
    draws: Annotated[int, between(1, 1000)]
    """How many controls are drawn; their mean counts."""
    measure: Literal["changed", "logit", "probability", "reproduced"]
    """Of a unit of the concept: whether what the model says of it changes, by how much its logit or its
    probability does, or the share that this is of what the same change of the image does."""
    direction: Literal["up", "down", "changes"]
    """Where the edit moves the measure, from where its control does; `changes`: either way."""
    smallest: Annotated[float, between(0, 1e6)]
    """The smallest effect that counts: the edit's measure less its controls'."""
    margin: Annotated[float, above(0, up_to=1e6)] | None
    """What the change of all else must stay below, for the claim that nothing else changes; null: no such
    claim."""
    split: Literal["val", "sealed"]
    """Whose images: a confirmatory hypothesis opens the sealed split, an exploratory one must not."""
    images: Annotated[int, COUNT]
    """How many of them, or of pairs where the image is changed too."""
    independent: Literal["clusters", "images"]
    """What is resampled: clusters, for a claim about new ones of their kind; images, for one about new images
    of these clusters."""

    def __post_init__(self):
        super().__post_init__()
        for key in ("name", "cell", "concept"):
            check_name(f"hypothesis.{key}", getattr(self, key))
        check_choice("hypothesis.edit", self.edit, tuple(EDITS))
        check_choice("hypothesis.place", self.place, tuple(PLACES))
        check_choice("hypothesis.control", self.control, tuple(CONTROLS))
        self._check_latents()
        check_choice("hypothesis.split", self.split, ("sealed" if self.kind == "confirmatory" else "val",))
        if self.edit == "ablate":
            check_choice("hypothesis.strength", float(self.strength), (0.0,))
        for key in ("smallest", "margin") if self.measure in SHARES else ():
            if (getattr(self, key) or 0) >= 1:
                raise SaevError(
                    f"hypothesis.{key} must be < 1 of a share, {self.measure}, got {getattr(self, key)!r}"
                )
        for key in ("strength", "smallest", "margin"):
            if getattr(self, key) is not None:  # YAML's -1 and -1.0 are one number, and so are 0.0 and -0.0
                object.__setattr__(self, key, float(getattr(self, key)) + 0.0)

    def _check_latents(self) -> None:
        if (self.selector is None) == (self.latents is None):
            raise SaevError(
                "hypothesis must have one of selector and latents, "
                f"got selector {self.selector!r} and latents {self.latents!r}"
            )
        if self.selector is not None:
            check_choice("hypothesis.selector", self.selector, tuple(SELECTORS))
            if self.selector == "listed":
                raise SaevError("hypothesis.latents must list the latents, got selector 'listed'")
        else:
            latents = self.latents or ()
            if not latents or len(set(latents)) < len(latents):
                raise SaevError(
                    f"hypothesis.latents must be a list of latents, each once, got {list(latents)}"
                )
            object.__setattr__(self, "latents", tuple(sorted(latents)))


def read_hypotheses(folder: str | Path) -> list[Hypothesis]:
    """The hypotheses of a folder, one of each `*.yaml`, by name.

    Raises:
        SaevError: there is no such folder, a file is no hypothesis, or two are the same test, which would
            count twice.
    """
    if not Path(folder).is_dir():
        raise SaevError(f"{folder}: no such folder of hypotheses")
    if other := sorted(Path(folder).glob("*.yml")):
        raise SaevError(f"{other[0]}: would not be read; call it {other[0].stem}.yaml")
    found: dict[str, Hypothesis] = {}
    for file in sorted(Path(folder).glob("*.yaml")):
        hypothesis = _read(file)
        same = found.setdefault(fingerprint(hypothesis), hypothesis)
        if same is not hypothesis:
            raise SaevError(f"{file}: the same test as {same.name}.yaml; delete one")
    return list(found.values())


def fingerprint(hypothesis: Hypothesis) -> str:
    """SHA-256 of all that the test depends on, its kind included; not of its name and the words of its
    claim."""
    meaning = asdict(hypothesis)
    del meaning["name"], meaning["claim"]
    return digest(meaning, {})


def _read(file: Path) -> Hypothesis:
    known = {
        of.name: of.name not in ("selector", "latents") for of in fields(Hypothesis) if of.name != "name"
    }
    try:
        content = _mapping(file)
        check_keys("hypothesis", content, known)
        return Hypothesis(name=file.stem, **content)
    except SaevError as error:
        raise SaevError(f"{file}: {error}") from None


def _mapping(file: Path) -> Any:
    """What a YAML file says. Raises SaevError if it is none, or says anything twice."""
    try:
        text = file.read_bytes()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise SaevError("names another value (*); write each out")  # nine lines can stand for 10^9
        root = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise SaevError(error.strerror) from None
    except yaml.YAMLError as error:
        raise SaevError(" ".join(str(error).split())) from None
    except (ValueError, RecursionError) as error:  # a date of the 13th month, ten thousand brackets
        raise SaevError(first_line(error)) from None
    if isinstance(content, dict):
        keys = [key.value for key, _ in root.value]
        # YAML's readers take the last without a word.
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise SaevError(f"hypothesis.{twice[0]} is there twice; leave one")
        for key, node in root.value:
            if isinstance(content.get(key.value), int | float) and ODD.match(node.value):
                meant = content[key.value]
                raise SaevError(f"hypothesis.{key.value}: YAML takes {node.value} for {meant}; write {meant}")
    return content
