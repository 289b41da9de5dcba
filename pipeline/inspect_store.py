"""A store, looked at: what it holds, whether it is whole, how fast it reads, what its outliers are."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.stage import stage
from saev.checks import check_path

if TYPE_CHECKING:  # composing a configuration needs no torch
    from saev.activations.inspection import Inspection


@stage("inspect_store")
def main(cfg: DictConfig) -> None:
    from saev.activations import inspect_store
    from saev.errors import SaevError

    check_path("store", cfg.store)
    found = inspect_store(cfg.store)
    console = Console()
    for table in (contents(found), integrity(found), outliers(found)):
        console.print(table)
    if not found.whole:
        to_finish = "" if found.attrs.get("complete") is True else " to finish it"
        raise SaevError(f"{cfg.store}: not whole; run the extract stage again{to_finish}")


def contents(found: "Inspection") -> Table:
    """What the store holds."""
    attrs, (n_images, n_tokens, d) = found.attrs, found.shape
    rows, columns = attrs["grid"]
    missing = attrs.get("missing", [])
    named = f", of which missing {len(missing):,}: {', '.join(missing[:3])}" if missing else ""
    spans = ", ".join(f"{last - first} {kind}" for kind, (first, last) in attrs["spans"].items())
    table = Table(show_header=False, box=None)
    for key, value in {
        "backbone": f"{attrs['backbone']} (weights {attrs['weights']})",
        "geometry": attrs["geometry"],
        "layers": f"{attrs['layers']} of {attrs['n_blocks']}, counted from 0",
        "split": attrs["split"] or "not named",
        "images": f"{n_images:,}{named}{' ...' if len(missing) > 3 else ''}",
        "tokens": f"{n_tokens} per image: {spans}",
        "patches": f"{rows} x {columns}",
        "values": f"{attrs['dtype']}, width {d}, computed in {attrs['computed']}",
        "labels": f"{len(attrs['classes']):,} classes",
        "size": f"{found.n_bytes / 1e6:,.1f} MB on disk, in chunks of {attrs['chunk']} images",
        "reading": f"{found.bytes_per_second / 1e6:,.0f} MB/s from this disk, verified, chunk by chunk",
        "complete": str(attrs.get("complete") is True),
    }.items():
        add_row(table, key, printable(value))
    for layer, order in sorted(found.order.items()):
        doubt = "" if order.is_grid else "; these may NOT be in the order of the grid"
        add_row(table, f"order of {layer}", f"{order}{doubt}")
    return table


def integrity(found: "Inspection") -> Table:
    """Per array, chunks expected, missing and damaged."""
    table = Table("array", "chunks", "missing", "damaged")
    for name, part in found.integrity.items():
        add_row(table, name, str(part.expected), numbers(part.missing), numbers(part.damaged))
    return table


def outliers(found: "Inspection") -> Table:
    """Per layer and kind of token, norms, artefact tokens, massive activations and the largest dimensions."""
    table = Table(
        *("layer", "tokens", "median norm", "99 %", "largest", "artefacts", "massive", "dimensions"),
        caption="artefacts: tokens of more than 3 times the median norm; massive: |x| > 100 and > 1000 times "
        "the median; dimensions: the 3 largest, with their root mean square as a multiple of the median's",
    )
    for (layer, kind), row in sorted(found.outliers.items()):
        norms = (f"{norm:.1f}" for norm in row.norms)
        dimensions = "\n".join(f"{i} ({times:.1f})" for i, times in row.dimensions)
        add_row(
            table,
            str(layer),
            kind,
            *norms,
            f"{row.artefacts:.2%}",
            f"{row.massive:,}",
            dimensions,
            end_section=True,
        )
    return table


def add_row(table: Table, *cells: str, end_section: bool = False) -> None:
    """A row of the cells as they are: names may look like rich's markup."""
    table.add_row(*map(escape, cells), end_section=end_section)


def printable(text: str) -> str:
    """`text` with its control characters escaped: a file's name could move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def numbers(chunks: list[int]) -> str:
    """How many chunks, and the first of them."""
    first = ", ".join(map(str, chunks[:5])) + (" ..." if len(chunks) > 5 else "")
    return f"{len(chunks)}: {first}" if chunks else "0"


if __name__ == "__main__":
    main()
