"""A network that pytorch_lightning's and fabric's loops train on the CPU."""

import pytorch_lightning as pl
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, TensorDataset


def data():
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("validation", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, **options):
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
    return pl.Trainer(max_epochs=5, accelerator="cpu", devices=1, default_root_dir=folder, **quiet, **options)


def test_trainer_fits_and_goes_on_from_a_checkpoint(tmp_path):
    model, loop = Regression(), trainer(tmp_path, enable_checkpointing=True)
    loop.fit(model, data(), data())
    assert loop.callback_metrics["validation"] < 0.1
    loop.save_checkpoint(tmp_path / "x.ckpt")
    again = Regression.load_from_checkpoint(tmp_path / "x.ckpt")
    assert torch.equal(again.layer.weight, model.layer.weight)


def test_trainer_accumulates_and_clips(tmp_path):
    options = dict(accumulate_grad_batches=2, gradient_clip_val=1.0, enable_checkpointing=False)
    trainer(tmp_path, precision="bf16-mixed", **options).fit(Regression(), data())


def test_fabric():
    fabric = Fabric(accelerator="cpu", devices=1)
    layer = torch.nn.Linear(4, 1)
    layer, optimizer = fabric.setup(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    for x, y in fabric.setup_dataloaders(data()):
        optimizer.zero_grad()
        fabric.backward(torch.nn.functional.mse_loss(layer(x), y))
        optimizer.step()
