"""Tables for other programs: CSV and Parquet, and AnnData's format where that is installed."""

import csv
from importlib.util import find_spec
from pathlib import Path

import scipy.sparse


def write_tables(
    folder: Path, rows: list[dict], codes_is: scipy.sparse.csr_array, images: dict[str, list]
) -> None:
    """Write `latents.csv` and `latents.parquet`, a row for each latent, and `codes.h5ad`: the codes of images
    (X), what is known of these (obs), and the rows (var, which has all latents).

    Args:
        rows: flat records with a `latent` each.
        images: columns, with a value for each image.
    """
    import pyarrow
    import pyarrow.parquet

    with open(folder / "latents.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys() if rows else ["latent"])
        writer.writeheader()
        writer.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "latents.parquet")
    if find_spec("anndata"):
        _write_h5ad(folder / "codes.h5ad", rows, codes_is, images)


def _write_h5ad(
    path: Path, rows: list[dict], codes_is: scipy.sparse.csr_array, images: dict[str, list]
) -> None:
    import anndata
    import pandas

    obs = pandas.DataFrame(images, index=[str(i) for i in range(codes_is.shape[0])])
    latents = [str(s) for s in range(codes_is.shape[1])]
    var = pandas.DataFrame(rows, index=[str(row["latent"]) for row in rows]).reindex(latents)
    # A column of None alone would be taken for text.
    var = var.astype(dict.fromkeys(var.columns[var.isna().all()], float))
    anndata.AnnData(scipy.sparse.csr_matrix(codes_is), obs, var).write_h5ad(path)
