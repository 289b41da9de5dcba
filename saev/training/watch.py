"""What a training says of itself while it runs."""

import lightning

from saev.machine.progress import Progress, number
from saev.training.steps import SAETraining


class TrainingProgress(lightning.Callback):
    """Steps done, tokens per second, time left, and the first member's NMSE, L0 and dead latents, if any.

    (Lightning's own bar knows batches per second, and asks the device for every number at every step.)
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.progress: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: SAETraining) -> None:
        first, *others = module.curves

        def facts(steps_per_second: float) -> str:
            rate, last = number(steps_per_second * self.batch_size), module.curves[first][-1]
            dead = f", dead {last['dead']:.1%}" if last["dead"] else ""
            return f"{rate} tokens/s, NMSE {last['mse']:.2g}, L0 {number(last['l0'])}{dead}"

        what = f"train {first} and {len(others)} more" if others else f"train {first}"
        self.progress = Progress(what, module.options.n_steps, "steps", done=trainer.global_step, facts=facts)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_) -> None:
        if self.progress is not None:
            self.progress.update(trainer.global_step)

    def on_train_end(self, *_) -> None:
        self._close()

    def on_exception(self, *_) -> None:
        self._close()

    def _close(self) -> None:
        if self.progress is not None:
            self.progress.close()
