"""Learners of fastai: pictures, tables, texts and collaborative filtering; schedules, callbacks, transforms, files."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.all import (
    CSVLogger,
    EarlyStoppingCallback,
    GradientAccumulation,
    GradientClip,
    MixUp,
    SaveModelCallback,
)
from fastai.collab import CollabDataLoaders, collab_learner
from fastai.data.all import (
    CategoryBlock,
    DataBlock,
    DataLoader,
    DataLoaders,
    RandomSplitter,
    parent_label,
)
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat, DiceLoss, FocalLoss, LabelSmoothingCrossEntropy
from fastai.metrics import RocAucBinary, accuracy, error_rate, rmse
from fastai.optimizer import SGD, Adam, Lamb, RAdam, RMSProp, ranger
from fastai.tabular.all import (
    Categorify,
    FillMissing,
    Normalize,
    TabularDataLoaders,
    tabular_learner,
)
from fastai.vision.all import (
    ImageBlock,
    MaskBlock,
    PILImageBW,
    Resize,
    TensorImage,
    aug_transforms,
    get_image_files,
    resnet18,
    unet_learner,
    vision_learner,
    xresnet18,
)
from PIL import Image
from torch import nn

# PyTorch 2.13 computes these.
STEPS = {"sgd": 0.861265, "rms": 0.143894, "adam": 0.719282, "radam": 0.869063, "lamb": 0.891941, "ranger": 0.869635}
CYCLE = 0.0716017


@pytest.fixture(autouse=True)
def quiet():
    np.random.seed(0)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def line(n=64):
    x = torch.sin(torch.arange(3.0 * n)).reshape(n, 3)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3


def loaders(batch=16):
    x, y = line()
    pairs = list(zip(x, y, strict=True))
    return DataLoaders(DataLoader(pairs[:48], bs=batch), DataLoader(pairs[48:], bs=batch))


def learner(**options):
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for k, weight in enumerate(model.parameters()):
            weight.copy_(0.5 * torch.cos(torch.arange(weight.numel()) * 0.7 + k).reshape(weight.shape))
    found = Learner(loaders(), model, loss_func=nn.functional.mse_loss, metrics=rmse, **options)
    return found


def losses(learn):
    return [float(value) for value in learn.recorder.losses]


OPTIMIZERS = {"sgd": SGD, "rms": RMSProp, "adam": Adam, "radam": RAdam, "lamb": Lamb, "ranger": ranger}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_the_steps_they_take(name):
    learn = learner(opt_func=OPTIMIZERS[name])
    with learn.no_bar(), learn.no_logging():
        learn.fit(2, 0.01)
    assert losses(learn)[-1] == pytest.approx(STEPS[name], rel=1e-3)
    assert len(learn.recorder.values) == 2


def test_one_cycle_clipped_and_accumulated(tmp_path):
    learn = learner(path=tmp_path, cbs=[GradientClip(0.5), GradientAccumulation(32), CSVLogger()])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 0.05)
    rates = learn.recorder.hps["lr"]
    assert rates[0] == pytest.approx(0.002, rel=1e-3) and max(rates) > 0.045
    assert learn.recorder.values[-1][1] == pytest.approx(CYCLE, rel=1e-3)
    assert len(pd.read_csv(tmp_path / "history.csv")) == 3


def test_a_rate_is_found_and_models_are_kept(tmp_path):
    learn = learner(path=tmp_path, cbs=[SaveModelCallback(), EarlyStoppingCallback(patience=2)])
    with learn.no_bar(), learn.no_logging():
        found = learn.lr_find(num_it=20, show_plot=False)
        assert 1e-7 < found.valley < 10
        learn.fit(2, 0.02)
    learn.save("kept")
    wanted = learn.get_preds()[0]
    other = learner(path=tmp_path)
    other.load("kept")
    torch.testing.assert_close(other.get_preds()[0], wanted)
    assert (tmp_path / "models" / "model.pth").exists()


def table(n=120):
    place = np.arange(n)
    frame = pd.DataFrame({"size": np.sin(place) * 3, "kind": np.array(["a", "b", "c"])[place % 3], "age": place % 7})
    frame.loc[::10, "size"] = np.nan
    frame["rich"] = np.where((frame["size"].fillna(0) > 0) ^ (frame["kind"] == "b"), "yes", "no")
    return frame


def test_tables_are_learnt():
    frame = table()
    data = TabularDataLoaders.from_df(
        frame,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=["kind"],
        cont_names=["size", "age"],
        y_names="rich",
        valid_idx=list(range(90, 120)),
        bs=30,
    )
    learn = tabular_learner(data, layers=[20, 10], metrics=[accuracy, RocAucBinary()])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(12, 0.03)
        assert learn.validate()[1] > 0.75
        _, label, chances = learn.predict(frame.iloc[3])
        assert int(label) in (0, 1) and chances.sum().item() == pytest.approx(1.0, abs=1e-5)
        told = learn.dls.test_dl(frame.iloc[:10].drop(columns="rich"))
        assert learn.get_preds(dl=told)[0].shape == (10, 2)


def test_ratings_are_learnt():
    place = np.arange(200)
    frame = pd.DataFrame(
        {"user": place % 10, "title": (place * 7) % 13, "rating": ((place % 10) + (place * 7) % 13) % 5}
    )
    data = CollabDataLoaders.from_df(frame, bs=50, valid_pct=0.1, seed=1)
    learn = collab_learner(data, n_factors=8, y_range=(-0.5, 4.5))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(10, 0.1)
    assert learn.recorder.values[-1][0] < 0.5 * learn.recorder.values[0][0]
    assert learn.model.weight([3], is_item=False).shape == (1, 8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of pictures with stripes along and across."""
    home = tmp_path_factory.mktemp("pictures")
    for kind in ("along", "across"):
        (home / kind).mkdir()
        for k in range(16):
            values = np.zeros((40, 40, 3), np.uint8)
            stripe = slice(k % 4, None, 4)
            values[(stripe, slice(None)) if kind == "along" else (slice(None), stripe)] = 255 - 8 * k
            Image.fromarray(values).save(home / kind / f"{k}.png")
    return home


def of_pictures(home):
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        splitter=RandomSplitter(0.25, seed=3),
        get_y=parent_label,
        item_tfms=Resize(32),
        batch_tfms=[*aug_transforms(size=32, max_rotate=5.0), Normalize.from_stats([0.5] * 3, [0.3] * 3)],
    )
    return block.dataloaders(home, bs=8)


def test_pictures_are_told_apart(pictures, tmp_path):
    data = of_pictures(pictures)
    x, _ = data.one_batch()
    assert isinstance(x, TensorImage) and x.shape == (8, 3, 32, 32) and data.vocab == ["across", "along"]
    learn = Learner(data, xresnet18(n_out=2), loss_func=LabelSmoothingCrossEntropy(), metrics=error_rate, path=tmp_path)
    learn.add_cb(MixUp(0.1))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(6, 0.005)
        assert learn.validate()[1] <= 0.25
        kind, _, chances = learn.predict(next(Path(pictures / "along").iterdir()))
        assert kind in data.vocab and chances.sum().item() == pytest.approx(1.0, abs=1e-5)
        assert learn.tta(n=2)[0].shape == (8, 2)


def test_masks_are_learnt(pictures):
    """The mask of a picture is where it is bright."""
    (pictures.parent / "masks").mkdir(exist_ok=True)

    def mask(path):
        found = pictures.parent / "masks" / f"{path.parent.name}{path.name}"
        Image.fromarray((np.array(Image.open(path).convert("L")) > 60).astype(np.uint8)).save(found)
        return found

    block = DataBlock(
        blocks=(ImageBlock(cls=PILImageBW), MaskBlock(codes=["dark", "bright"])),
        get_items=get_image_files,
        splitter=RandomSplitter(0.25, seed=3),
        get_y=mask,
        item_tfms=Resize(32, method="squish"),
    )
    data = block.dataloaders(pictures, bs=8)
    learn = unet_learner(data, resnet18, n_in=1, n_out=2, pretrained=False, loss_func=CrossEntropyLossFlat(axis=1))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 0.005)
    assert learn.recorder.values[-1][0] < learn.recorder.values[0][0]
    assert DiceLoss()(torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))).item() > 0
    assert FocalLoss()(torch.randn(4, 3), torch.tensor([0, 1, 2, 1])).item() > 0


def test_transfer_freezes_and_exports(pictures, tmp_path):
    learn = vision_learner(of_pictures(pictures), resnet18, pretrained=False, metrics=accuracy, path=tmp_path)
    learn.freeze()
    assert not next(learn.model[0][0].parameters()).requires_grad
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1, freeze_epochs=1)
    assert learn.recorder.values and all(p.isfinite().all() for p in learn.model.parameters())
    assert "Total params" in learn.summary()
