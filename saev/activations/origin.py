"""Where numbers come from, and the refusal to join what does not belong together."""

from typing import Any, NamedTuple

from saev.errors import SaevError


class Origin(NamedTuple):
    """The identity of activations, and of all that is made from them: SAEs, codes, tasks.

    Shapes alone prove nothing: every ViT-B has width 768.
    """

    backbone: str
    """The model's name with its library."""
    weights: str
    """`Backbone.weights_hash`."""
    geometry: str
    """`Backbone.geometry`: all but the weights that determines the tokens."""
    layer: int
    """0-based block after which the residual stream was taken."""
    kinds: tuple[str, ...]
    """Kinds of token, in the order of the token axis."""
    data: str
    """Fingerprint of the images."""

    def as_dict(self) -> dict:
        """As plain values for JSON; `of` is the way back."""
        return {**self._asdict(), "kinds": list(self.kinds)}

    @classmethod
    def of(cls, record: Any) -> "Origin":
        """The origin that `as_dict` wrote.

        Raises:
            SaevError: `record` is none; the caller names the file.
        """
        right = isinstance(record, dict) and set(record) == set(cls._fields)
        if right:
            *texts, layer, kinds = (
                record[key] for key in ("backbone", "weights", "geometry", "data", "layer", "kinds")
            )
            right = (
                all(isinstance(text, str) for text in texts)
                and type(layer) is int
                and isinstance(kinds, (list, tuple))
                and all(isinstance(kind, str) for kind in kinds)
            )
        if not right:
            raise SaevError(f"origin must hold {', '.join(cls._fields)}, got {shortened(record)}")
        return cls(**{**record, "kinds": tuple(kinds)})


def agree(mine: Origin, theirs: Origin, what: str, other: str, *, but: tuple[str, ...] = ()) -> None:
    """Refuse to join two things of different origins.

    Args:
        what, other: the two things, as a user knows them: their paths.
        but: fields that may differ; an SAE of the training images reads other images, `but=("data",)`.

    Raises:
        SaevError: a field differs; the line names both things, each such field and both values.
    """
    differ = [
        field
        for field in Origin._fields
        if field not in but and getattr(mine, field) != getattr(theirs, field)
    ]
    if differ:
        ours, others = (
            " and ".join(f"{field} {shortened(getattr(side, field))}" for field in differ)
            for side in (mine, theirs)
        )
        raise SaevError(f"{what}: {ours}, but {other} has {others}; the two do not belong together")


def shortened(value: object) -> str:
    """`value` for one line of an error."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
