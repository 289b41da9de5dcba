"""The box at the head of the page: what came of the study, in sentences whose every number is a record's."""

from collections.abc import Callable, Iterable

from saev.report.outcomes import is_control
from saev.report.page import fixed, percent, signed, whole
from saev.report.tables import listed


def conclusions(stores: list[dict], verdicts: list[dict]) -> list[dict]:
    """What came of a study, in the order of the page.

    Cells of a backbone that learnt nothing speak for nothing but themselves: they have a sentence of their
    own, of the same measures.

    Returns:
        {of, said: sentences}, only of what was measured.
    """
    learnt = _saes(store for store in stores if not store["untrained"])
    nothing = _saes(store for store in stores if store["untrained"])
    told = {
        "What was predicted": [predicted(verdicts)],
        "How well SAEs explain it": [explained(learnt)],
        "What it means": [meant(learnt), beaten(learnt)],
        "What edits do": [edited(learnt), reproduced(learnt)],
        "In networks that learnt nothing": [meant(nothing), reproduced(nothing)],
    }
    return [
        {"of": of, "said": said}
        for of, sentences in told.items()
        if (said := [text for text in sentences if text])
    ]


def _saes(stores: Iterable[dict]) -> list[dict]:
    return [sae for store in stores for layer in store["layers"] for sae in layer["saes"]]


def predicted(verdicts: list[dict]) -> str:
    """How many hypotheses were supported, of all and of those on images that chose nothing."""
    if not verdicts:
        return ""
    counts = [
        f"{n} {verdict}"
        for verdict in ("supported", "refuted", "inconclusive")
        if (n := sum(row["verdict"] == verdict for row in verdicts))
    ]
    told = f"Of {_n(len(verdicts), 'prediction')} came out {listed(counts)}"
    sealed = [row for row in verdicts if row["kind"] == "confirmatory"]
    held = sum(row["verdict"] == "supported" for row in sealed)
    return told + (f"; of the {len(sealed)} tried on sealed images {held} supported." if sealed else ".")


def explained(saes: list[dict]) -> str:
    """How few latents leave how much unexplained, and how much of the task stays."""
    if not saes:
        return ""
    few = _range((sae["val"]["l0"] for sae in saes), lambda value: fixed(value, 1))
    of = _range((sae["latents"] for sae in saes), whole)
    told = f"A token is written with {few} of {of} latents, which leaves "
    told += f"{_range((sae['val']['nmse'] for sae in saes), percent)} of its variance unexplained"
    kept = [sae["fidelity"]["recovered"] for sae in saes if sae["fidelity"]]
    return told + (f" and keeps {_range(kept, percent)} of the task." if kept else ".")


def meant(saes: list[dict]) -> str:
    """How many classes and concepts have a latent that detects them better than chance."""
    parts = []
    for kind, key in (("classes", "probe"), ("concepts", "described")):
        rows = [sae[key] for sae in saes if sae[key] and sae[key]["concepts"]]
        if rows:
            told = f"{_range((row['claimed'] for row in rows), whole)} of "
            told += f"{_range((row['concepts'] for row in rows), whole)} {kind}"
            f1 = [row["f1"] for row in rows if row["claimed"] and row["f1"] is not None]
            parts.append(told + (f" (mean F1 {_range(f1, fixed)})" if f1 else ""))
    return f"Single latents detect better than chance {listed(parts)}." if parts else ""


def beaten(saes: list[dict]) -> str:
    """Whether the latents detect more than every floor, seeds aside, certainly does."""
    told = []
    for kind in ("concepts", "classes"):
        gains = [[row[kind] for row in sae["floors"] if row[kind] and not row["seed"]] for sae in saes]
        lows = [[row["low"] for row in rows] for rows in gains if rows]
        if lows:
            best = sum(all(low is not None and low > 0 for low in of) for of in lows)
            told.append(f"{kind} in {best} of {_n(len(lows), 'SAE')}")
    return f"Certainly beyond every floor: {', '.join(told)}." if told else ""


def edited(saes: list[dict]) -> str:
    """How much of the target edits change, and by how much more than their control."""
    heads = [sae["headline"] for sae in saes if sae["headline"] and sae["headline"]["claim"] is not None]
    if not heads:
        return ""
    first = heads[0]
    told = f"Edits {first['place']} of strength {signed(first['strength'])} change "
    told += f"{_range((head['claim'] for head in heads), percent)} of their target"
    known = [head for head in heads if head["effect"] is not None]
    if not known:
        return f"{told}."
    sure = sum(bool(head["interval"]) and head["interval"][0] > 0 for head in known)
    more = _range((100 * head["effect"] for head in known), lambda value: fixed(value, 1))
    return f"{told}, {more} points more than the control does; certainly more in {sure} of {len(known)}."


def reproduced(saes: list[dict]) -> str:
    """How much of what the image's own change does edits do, and random latents."""
    arms = [sae["counterfactual"]["arms"] for sae in saes if sae["counterfactual"]["arms"]]
    chosen = [of[0]["share"] for of in arms if not is_control(of[0]["method"])]
    random = [row["share"] for of in arms for row in of if row["method"] == "random latent"]
    chosen, random = ([share for share in shares if share is not None] for shares in (chosen, random))
    if not chosen:
        return ""
    told = f"Of what taking a concept out of the image does, editing its latent does {_range(chosen, _whole)}"
    return told + (f", a random latent {_range(random, _whole)}." if random else ".")


def _whole(share: float) -> str:
    return percent(share, 0)


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _range(values: Iterable[float], show: Callable[[float], str]) -> str:
    """The least and the largest of `values`, or the one that they all show as."""
    values = list(values)
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} to {high}"
