"""An inspected store as tables for the terminal."""

from rich.table import Table

from saev.activations.inspection import Inspection


def contents(found: Inspection) -> Table:
    """What the store holds."""
    attrs, (n_images, n_tokens, d) = found.attrs, found.shape
    table = Table(show_header=False, box=None)
    rows, columns = attrs["grid"]
    missing = attrs.get("missing", [])
    for key, value in {
        "backbone": f"{attrs['backbone']} (weights {attrs['weights']})",
        "layers": f"{attrs['layers']} of {attrs['n_blocks']}, counted from 0",
        "images": f"{n_images:,}"
        + (f", of which missing {len(missing):,}: {', '.join(missing[:3])} ..." if missing else ""),
        "tokens": f"{n_tokens} per image: "
        + ", ".join(f"{last - first} {kind}" for kind, (first, last) in attrs["spans"].items()),
        "patches": f"{rows} x {columns} of an input of {' x '.join(map(str, attrs['preprocess']['size']))} px",
        "values": f"{attrs['dtype']}, width {d}",
        "labels": f"{len(attrs['classes']):,} classes",
        "size": f"{found.n_bytes / 1e9:.3f} GB on disk, in chunks of {attrs['chunk']} images",
        "reading": f"{found.bytes_per_second / 1e9:.2f} GB/s from this disk, verified, one chunk after the other",
        "complete": str(attrs.get("complete") is True),
    }.items():
        table.add_row(key, value)
    return table


def integrity(found: Inspection) -> Table:
    """Per array, chunks expected, missing and damaged."""
    table = Table("array", "chunks", "missing", "damaged")
    for name, part in found.integrity.items():
        table.add_row(name, str(part.expected), _numbers(part.missing), _numbers(part.damaged))
    return table


def outliers(found: Inspection) -> Table:
    """Per layer and kind of token, norms, artefact tokens, massive activations and the largest dimensions."""
    table = Table(
        "layer",
        "tokens",
        "median norm",
        "99 %",
        "largest",
        "over 3 x median",
        "massive",
        "largest dimensions (x median rms)",
        caption="massive: |x| > 100 and > 1000 x the median (Sun et al. 2024)",
    )
    for (layer, kind), row in sorted(found.outliers.items()):
        median, high, largest = row.norms
        dimensions = ", ".join(f"{i} ({times:.1f})" for i, times in row.dimensions)
        table.add_row(
            str(layer),
            kind,
            f"{median:.1f}",
            f"{high:.1f}",
            f"{largest:.1f}",
            f"{row.artefacts:.2%}",
            f"{row.massive:,}",
            dimensions,
        )
    return table


def _numbers(chunks: list[int]) -> str:
    return (
        "0"
        if not chunks
        else f"{len(chunks)}: {', '.join(map(str, chunks[:5]))}" + (" ..." if len(chunks) > 5 else "")
    )
