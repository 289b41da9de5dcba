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
    sae, device, tokens = cell.sae, cell.machine.device, {split: cell.tokens(split) for split in cfg.acts}
    with new_directory(cfg.codes, FILES) as out:
        for split, of_split in tokens.items():
            file = out / f"{split}.safetensors"
            encode_tokens(sae, of_split, file, what=cfg.sae_dir, device=device)
    say(f"features: codes of {', '.join(cfg.acts)} in {cfg.codes}")


if __name__ == "__main__":
    main()
