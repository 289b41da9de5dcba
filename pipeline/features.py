"""SAE -> features: the sparse codes of every token that the SAE reads, of both splits, and what each latent
is like on the training split."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig

from pipeline.cell import Cell
from pipeline.stage import read, stage
from saev.checks import Options, check_seed


@dataclass(frozen=True, kw_only=True)
class Features(Options, section="features"):
    """How images are told apart for a latent."""

    by: Literal["max", "sum"]


@stage("features")
def main(cfg: DictConfig) -> None:
    from saev.features import Profiler, encode_tokens, save_profile
    from saev.features.encoding import FILES
    from saev.machine.progress import say
    from saev.outputs import new_directory

    cell, options, seed = Cell(cfg), read(Features, cfg.features), check_seed(cfg.seed)
    sae, device, tokens = cell.sae, cell.machine.device, {split: cell.tokens(split) for split in cfg.acts}
    shape = (tokens["train"].n_images, tokens["train"].per_image, sae.d_sae)
    latents = Profiler(*shape, by=options.by, seed=seed)
    with new_directory(cfg.codes, FILES) as out:
        for split, of_split in tokens.items():
            seen = latents.update if split == "train" else None
            file = out / f"{split}.safetensors"
            encode_tokens(sae, of_split, file, seen=seen, what=cfg.sae_dir, device=device)
        save_profile(latents.compute(sae.W_dec.numpy(force=True)), sae, out / "latents.safetensors")
    say(f"features: codes of {', '.join(cfg.acts)}, and profiles of the latents, in {cfg.codes}")


if __name__ == "__main__":
    main()
