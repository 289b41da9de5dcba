"""SAE -> features: the sparse codes of every token that the SAE reads, of both splits."""

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import stage


@stage("features")
def main(cfg: DictConfig) -> None:
    from saev.features import encode_tokens
    from saev.features.codes import FILES
    from saev.machine.progress import say
    from saev.outputs import new_directory

    cell = Cell(cfg)
    with new_directory(cfg.codes, FILES) as out:
        for split in cfg.acts:
            file = out / f"{split}.safetensors"
            encode_tokens(cell.sae, cell.tokens(split), file, what=cfg.sae_dir, device=cell.machine.device)
    say(f"features: codes of {', '.join(cfg.acts)} in {cfg.codes}")


if __name__ == "__main__":
    main()
