"""The records that a study leaves under results/: what the page says stands in them."""

from saev.report.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    NUMBERS,
    POSITIVE,
    SHARE,
    TEXT,
    TWO,
    TWO_COUNTS,
    TWO_NUMBERS,
    VALUE,
    Maybe,
    Unless,
)

_SPLIT = {
    "images": COUNT,
    "missing": COUNT,
    "labelled": Maybe(TEXT),
    "labelled_patches": Maybe(SHARE),
    "classes": COUNT,
}
_SCORES = {
    "nmse": POSITIVE,
    "l0": POSITIVE,
    "dead": SHARE,
    "dense": SHARE,
    "coherence": NUMBER,
    "n_tokens": COUNT,
    "low": Maybe(NUMBER),
    "high": Maybe(NUMBER),
}
_FIDELITY = {"original": SHARE, "reconstructed": SHARE, "mean": SHARE, "zero": SHARE, "recovered": NUMBER}
_PROBED = ("f1", "f1_train", "ap", "shuffled", "null_f1", "null_f1_95")
_MATCHED = ("f1", "f1_train", "null_f1", "null_f1_95", "ap", "prevalence")
_DOUBTED = ("low", "high", "shuffled", "p", "q", "detectable", "stability")
_INTERVAL = {"low": Maybe(NUMBER), "high": Maybe(NUMBER)}
_OF_ALL = {key: Maybe(SHARE) for key in ("all_f1", "all_low", "all_high")}
_PROBE = {
    "units": Maybe(TEXT),
    "concepts": COUNT,
    "claimed": COUNT,
    **{key: Maybe(SHARE) for key in _PROBED},
    **_INTERVAL,
    **_OF_ALL,
    "linear_probe": Maybe({key: Maybe(SHARE) for key in ("activations", "codes", "majority")}),
}
_MATCHES = [
    {
        "name": TEXT,
        "latent": COUNT,
        "units": COUNT,
        "images": COUNT,
        "clusters": COUNT,
        "folds": COUNT,
        "same": SHARE,
        **{key: SHARE for key in _MATCHED},
        **{key: Maybe(NUMBER) for key in _DOUBTED},
    }
]
_SIDE = {"f1": SHARE, "latent": COUNT, "claimed": FLAG}
_COMPARED = {
    **{key: TEXT for key in ("data", "kind", "differs", "picture")},
    "margin": NUMBER,
    "here": {"*": VALUE},
    "there": {"*": VALUE},
    "mean": {"difference": NUMBER, **_INTERVAL},
    "verdicts": {"*": COUNT},
    "concepts": [
        {"name": TEXT, "here": _SIDE, "there": _SIDE, "difference": NUMBER, **_INTERVAL}
        | {"q": Maybe(SHARE), "alike": Maybe(SHARE), "verdict": TEXT}
    ],
}
_EFFECT = {
    **{key: Maybe(NUMBER) for key in ("effect", "low", "high", "standardised", "larger")},
    **{key: Maybe(SHARE) for key in ("p", "q", "p_best", "fires_a", "fires_b")},
}
_SPARSE = {
    "read": TEXT,
    "k": Maybe(COUNT),
    "f1": Maybe(SHARE),
    "auroc": Maybe(SHARE),
    **{key: Maybe(NUMBER) for key in ("low", "high", "gain", "gain_low", "gain_high")},
}
_AGREED = {
    **{key: Maybe(NUMBER) for key in ("drop", "drop_low", "drop_high", "control", "outside")},
    **{key: Maybe(SHARE) for key in ("kept", "agreement", "agreement_low", "agreement_high", "null", "q")},
}
_REPRODUCED = {
    "method": TEXT,
    "strength": NUMBER,
    "pairs": COUNT,
    "photographs": COUNT,
    **{key + end: Maybe(NUMBER) for key in ("share", "off", "outside") for end in ("", "_low", "_high")},
    **{key: Maybe(NUMBER) for key in ("r", "r_low", "r_high", "image_off", "image_outside")},
    "sign": Maybe(SHARE),
}
_FLOOR = {"floor": TEXT, "seed": FLAG}
_ARM = {"method": TEXT, "place": TEXT}
_CHANGED = {
    key + end: Maybe(shape)
    for key in ("target", "other")
    for end, shape in (("", SHARE), ("_interval", TWO_NUMBERS), ("_pooled", SHARE))
}
_HELD_AGAINST = {
    "control": Maybe(TEXT),
    "control_target": Maybe(SHARE),
    "effect": Maybe(NUMBER),
    "effect_interval": Maybe(TWO_NUMBERS),
    "clusters": Maybe(COUNT),
}

SHAPES: dict[tuple[str, str], object] = {
    ("extract", "metrics.json"): {"train": _SPLIT, "val": _SPLIT},
    ("extract", "classes.json"): {"*": {"*": COUNT}},
    ("head", "metrics.json"): Unless(
        {"readout": TEXT, "units": COUNT, "accuracy": SHARE, "balanced_accuracy": SHARE, "miou": Maybe(SHARE)}
    ),
    ("train", "curve.json"): [{"step": COUNT, "sae": TEXT, "mse": POSITIVE, "l0": POSITIVE}],
    ("evaluate", "metrics.json"): {
        "val": _SCORES,
        "train": _SCORES,
        "fidelity": Maybe({**_FIDELITY, "images": COUNT}),
        "stability": Maybe({key: NUMBER for key in ("cosine", "null", "share", "overlap")}),
        "floors": [{**_FLOOR, "nmse": POSITIVE, "l0": POSITIVE, "gain": NUMBER, **_INTERVAL}],
    },
    ("evaluate", "density.json"): [SHARE],
    ("probe", "metrics.json"): _PROBE,
    ("probe", "described.json"): Maybe(_PROBE),
    ("probe", "classes.json"): _MATCHES,
    ("probe", "concepts.json"): _MATCHES,
    ("probe", "floors.json"): [
        {**_FLOOR, "of": TEXT, "f1": Maybe(SHARE), "gain": Maybe(NUMBER), **_INTERVAL}
    ],
    ("probe", "sparse.json"): {"*": [_SPARSE]},
    ("probe", "latents.json"): [
        {"latent": COUNT, "maximum": NUMBER, "median": NUMBER, "density": SHARE, "images_share": SHARE}
        | {key: Maybe(NUMBER) for key in ("nearest", "cosine", "together", "jaccard", "stability")}
    ],
    ("compare", "compare.json"): {"compared": [_COMPARED]},
    ("contrast", "metrics.json"): Unless(
        {"by": TEXT, "split": TEXT, "strata": Maybe(TEXT)}
        | {"groups": TWO, "images": TWO_COUNTS, "clusters": TWO_COUNTS}
        | {key: COUNT for key in ("left_out", "tested", "claimed", "best")}
        | {"largest": [{"latent": COUNT, **_EFFECT}]}
    ),
    ("causes", "causes.json"): {
        "reason": Maybe(TEXT),
        **{key: Maybe(NUMBER) for key in ("agreement", "by_effect", "by_firing", "by_random")},
        **{key: Maybe(SHARE) for key in ("elsewhere", "beyond", "away")},
        "causes": [
            {"latent": COUNT, "image": COUNT, "elsewhere": Maybe(SHARE)}
            | {"fires": Maybe([NUMBERS]), "effect": Maybe([NUMBERS])}
        ],
    },
    ("causes", "agreement.json"): Maybe(
        [{"name": TEXT, "latent": COUNT, "pairs": COUNT, "photographs": COUNT, **_AGREED}]
    ),
    ("counterfactual", "counterfactual.json"): {
        "reason": Maybe(TEXT),
        "pairs": COUNT,
        "arms": [_REPRODUCED],
        "attributes": [{"name": TEXT, "claimed": FLAG, **_REPRODUCED}],
    },
    ("verdicts", "verdicts.json"): {
        "verdicts": [
            {**{key: TEXT for key in ("name", "verdict", "kind", "reason", "claim", "cell")}}
            | {"smallest": NUMBER, "clusters": COUNT, "registered": Maybe(COUNT), "note": Maybe(TEXT)}
            | {key: Maybe(NUMBER) for key in ("effect", "low", "high", "others", "others_high", "margin")}
            | {"q": Maybe(SHARE), "detectable": Maybe(NUMBER)}
        ]
    },
    ("intervene", "outcome.json"): {
        "reason": Maybe(TEXT),
        "images": COUNT,
        "strength": Maybe(NUMBER),
        "points": [{**_ARM, "strength": NUMBER, **_CHANGED, **_HELD_AGAINST}],
        "curves": [
            {**_ARM, "selectivity": Maybe(SHARE)}
            | {f"{name}_at_80": Maybe(SHARE) for name in ("other", "collateral")}
            | {f"{name}_at_80_interval": Maybe(TWO_NUMBERS) for name in ("other", "collateral")}
            | {"selectivity_effect": Maybe(NUMBER), "selectivity_effect_interval": Maybe(TWO_NUMBERS)}
        ],
        "classes": [{"class": TEXT, "images": COUNT}],
    },
}
"""What each file must hold. Keys that are not named here may be there; "*" stands for all keys."""

EDITS = Maybe({"*": {"*": {"*": Maybe(NUMBER)}}})
"""The metrics of intervene, by method and place, which the page has no use for."""
