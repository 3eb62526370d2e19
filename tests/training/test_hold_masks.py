"""`HoldMasks` in a Trainer that is not ltb's: whatever else changes weights, what is seen of them is masked."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging
from torch import nn

import ltb
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.points import Fit, Point
from ltb.training import Training
from tests.training.small import Numbers, Regression

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore:Swapping scheduler"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),
]


class Watched(Regression):
    """Its own network, of which no forward is called: it counts what is pruned and not 0 in each of its steps."""

    def __init__(self, masks):
        super().__init__()
        self.masks, self.found = masks, []

    def look(self, where):
        weights = tensors.state(network_of(self))
        alive = sum(int(torch.count_nonzero(weights[name][~mask])) for name, mask in self.masks.items())
        self.found.append((where, alive))

    def training_step(self, batch, index):
        self.look("training")
        return super().training_step(batch, index)

    def validation_step(self, batch, index):
        self.look("validation")
        super().validation_step(batch, index)

    def on_save_checkpoint(self, checkpoint):
        weights = checkpoint["state_dict"]
        self.found.append(("checkpoint", sum(int(torch.count_nonzero(weights[n][~m])) for n, m in self.masks.items())))


class Own(Watched):
    """It swaps weights in where it is evaluated, through ``data``, and once more at the end of its training."""

    def _swap(self):
        for parameter in self.parameters():
            parameter.data.add_(0.1)

    def on_validation_epoch_start(self):
        self._swap()

    def on_train_end(self):
        self._swap()


AVERAGES = {
    "ema": (Watched, lambda: EMAWeightAveraging(decay=0.5)),
    "average": (Watched, lambda: WeightAveraging()),
    "swa": (Watched, lambda: StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=1)),
    "of its own": (Own, lambda: pl.Callback()),
}


@pytest.mark.parametrize("first", [True, False], ids=["held first", "held last"])
@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_weights_are_masked_wherever_they_are_used(name, first, tmp_path):
    make, average = AVERAGES[name]
    torch.manual_seed(0)
    masks = {"layers.0.weight": torch.rand(9, 6) < 0.4, "head.weight": torch.tensor([[True, False, True]])}
    module = make(masks)  # dense: averages that begin here hold what is pruned later
    callbacks = [ltb.HoldMasks(masks), average()]
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)
    trainer = pl.Trainer(max_epochs=3, callbacks=[*callbacks[:: 1 if first else -1], checkpoint], **QUIET)
    trainer.fit(module, Numbers())
    module.look("end")
    assert {where for where, _ in module.found} == {"training", "validation", "checkpoint", "end"}
    averaged_in_it = "checkpoint" if name in ("ema", "average") else ""  # those put their own weights into checkpoints
    assert [(where, alive) for where, alive in module.found if alive and where != averaged_in_it] == []
    with torch.no_grad():
        module.head.weight.fill_(1.0)
    module(torch.zeros(2, 6)), module.state_dict()
    assert torch.count_nonzero(module.head.weight) == 3  # let go


def test_a_fit_of_ltbs_ends_at_a_masked_point_whatever_the_module_does_in_its_hooks():
    masks = {"layers.0.weight": torch.rand(9, 6) < 0.4, "head.weight": torch.tensor([[True, False, True]])}
    one = Training(lambda: Own(masks), Numbers(), "10it", metric="mse", direction="min")
    found = one.fit(Fit.of(masks, Point(one.initial(), 0), 10))
    for name, mask in masks.items():
        assert not torch.count_nonzero(found.point.weights[name][~mask])
        assert torch.count_nonzero(found.point.weights[name][mask])


class Compiled(pl.LightningModule):
    def __init__(self, backend):
        super().__init__()
        network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
        self.network = torch.compile(network, backend="eager") if backend else network

    def training_step(self, batch, index):
        return (self.network(batch[0]).squeeze(1) - batch[1]).square().mean()

    def validation_step(self, batch, index):
        self.training_step(batch, index)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def test_a_ticket_of_a_compiled_network_goes_into_a_plain_one_and_back_and_is_held_in_both(tmp_path):
    masks = {"0.weight": torch.rand(4, 6) < 0.5}
    ends = {}
    for saved, trained in [(True, False), (False, True), (False, False)]:
        torch.manual_seed(0)
        origin = Point(tensors.weights_of(network_of(Compiled(saved))), 0)
        ltb.Ticket(masks, origin).save(tmp_path / "t.safetensors")
        ticket, module = ltb.Ticket.load(tmp_path / "t.safetensors"), Compiled(trained)
        ticket.apply(module)
        callbacks = [ltb.HoldMasks(ticket)]
        pl.seed_everything(0, verbose=False)
        pl.Trainer(max_epochs=1, callbacks=callbacks, enable_checkpointing=False, **QUIET).fit(module, Numbers())
        ends[saved, trained] = weights = tensors.weights_of(network_of(module))
        assert not torch.count_nonzero(weights["0.weight"][~masks["0.weight"]])
    assert len({tensors.digest(weights) for weights in ends.values()}) == 1
