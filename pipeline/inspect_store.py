"""A store, looked at: what it holds, whether it is whole, how fast this disk reads it, which activations are
outliers."""

from omegaconf import DictConfig

from pipeline.stage import stage


@stage("inspect_store")
def main(cfg: DictConfig) -> None:
    from rich import print

    from saev.activations import inspect
    from saev.activations.tables import contents, integrity, outliers
    from saev.errors import SaevError

    found = inspect(cfg.store)
    for table in (contents(found), integrity(found), outliers(found)):
        print(table)
    if not found.whole:
        raise SaevError(
            f"{cfg.store}: not whole; run the extract stage again"
            + ("" if found.attrs.get("complete") else " to finish it")
        )


if __name__ == "__main__":
    main()
