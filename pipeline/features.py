"""SAE -> features: the sparse codes of every patch of both splits."""

from omegaconf import DictConfig

from pipeline.stage import stage


@stage("features")
def main(cfg: DictConfig) -> None:
    from saev.activations import Store
    from saev.features import encode_store
    from saev.files import new_directory
    from saev.sae import load_sae
    from saev.sae.formats.checkpoint import load_layer

    sae, layer = load_sae(cfg.sae_dir), load_layer(cfg.sae_dir)
    with new_directory(cfg.codes) as out:
        for split, path in cfg.acts.items():
            encode_store(sae, Store(path), layer, out / f"{split}.safetensors")


if __name__ == "__main__":
    main()
