"""activations -> task head: the frozen linear segmentation head that fidelity and interventions are measured with."""

from omegaconf import DictConfig

from pipeline.stage import build, machine, plain, stage


@stage("head")
def main(cfg: DictConfig) -> None:
    from saev.activations import Store
    from saev.files import write_json
    from saev.tasks.heads import evaluate_head, save_head, train_head

    train, val = Store(cfg.acts.train), Store(cfg.acts.val)
    train.check_same_model(val)
    backbone = build(cfg.backbone, "layer")
    layer = train.layer(cfg.backbone.layer)
    head = train_head(backbone, train, layer, seed=cfg.seed, **plain(cfg.head), **machine(cfg))
    metrics = evaluate_head(head, backbone, val, layer, **machine(cfg))
    save_head(head, cfg.head_file)
    write_json(f"{cfg.results.head}.json", metrics)


if __name__ == "__main__":
    main()
