import pytorch_lightning as pl
from mine import Regression, Sine, Tiny  # your own LightningModule, LightningDataModule and network

import ltb

data = Sine(batch_size=20)
training = ltb.Training(lambda: Regression(Tiny([1], 1), 1e-2), data, length="6ep", metric="mse", direction="min")
recipe = ltb.Recipe(ltb.Geometric(rate=0.5, levels=3), allocation=ltb.Layerwise(), rewind_step="5it")  # IMP, rewound
for level in ltb.levels(recipe, training):
    print(f"level {level.index}  density {level.density:.1%}  test mse {level.metrics['test/mse']:.3f}")

ticket = ltb.Ticket(level.trained.masks, level.trained.origin)
ticket.save("ticket.safetensors")

module = Regression(Tiny([1], 1), 1e-2)
ltb.Ticket.load("ticket.safetensors").apply(module)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = pl.Trainer(max_epochs=2, gradient_clip_val=1.0, accumulate_grad_batches=2, precision="bf16-mixed",
                     accelerator="cpu", callbacks=[ltb.HoldMasks(ticket)], **quiet)  # fmt: skip
trainer.fit(module, data)
