"""Programs written for torchvision, run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import corten
import numpy as np
from PIL import Image

PACKAGES = str(Path(corten.__file__).resolve().parent.parent)


def run(program: str, folder: Path, *arguments: str) -> str:
    (folder / "train.py").write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "corten", "run", "train.py", *arguments],
        env=dict(os.environ, PYTHONPATH=PACKAGES),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_images(folder: Path) -> None:
    """Three classes of small pictures: each has its colour, on a background of noise."""
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 10)):
        for number, name in enumerate(("blue", "green", "red")):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 120, (40, 40, 3)).astype(np.uint8)
                pixels[8:32, 8:32, 2 - number] = 230
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


CLASSIFIER = """
import argparse
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torchvision
import torchvision.transforms as transforms
from torchvision import datasets, utils
from torchvision.ops import Conv2dNormActivation

parser = argparse.ArgumentParser()
parser.add_argument("--data", default="data")
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
torch.manual_seed(0)

train_transform = transforms.Compose([
    transforms.RandomCrop(32, padding=4),
    transforms.RandomHorizontalFlip(),
    transforms.ColorJitter(brightness=0.1),
    transforms.ToTensor(),
    transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])
test_transform = transforms.Compose([
    transforms.Resize(36),
    transforms.CenterCrop(32),
    transforms.ToTensor(),
    transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])
trainset = datasets.ImageFolder(args.data + "/train", transform=train_transform)
testset = datasets.ImageFolder(args.data + "/val", transform=test_transform)
trainloader = torch.utils.data.DataLoader(trainset, batch_size=20, shuffle=True, num_workers=2)
testloader = torch.utils.data.DataLoader(testset, batch_size=15)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(Conv2dNormActivation(3, 8), nn.MaxPool2d(4), Conv2dNormActivation(8, 16))
        self.fc = nn.Linear(16, len(trainset.classes))

    def forward(self, x):
        return self.fc(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
net = Net().to(device)
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
for epoch in range(args.epochs):
    net.train()
    for inputs, targets in trainloader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        optimizer.step()
    scheduler.step()
net.eval()
correct = 0
with torch.no_grad():
    for inputs, targets in testloader:
        correct += net(inputs.to(device)).argmax(1).cpu().eq(targets).sum().item()
utils.save_image(inputs[:8] * 0.5 + 0.5, "grid.png", nrow=4)
print(torchvision.__version__.split("+")[0], trainset.classes, correct, len(testset))
"""


def test_a_classifier_of_image_folders_runs_without_edits_and_learns(tmp_path):
    write_images(tmp_path / "data")
    version, *rest = run(CLASSIFIER, tmp_path, "--data", "data").split(maxsplit=1)
    assert version == "0.28.0" and rest[0].startswith("['blue', 'green', 'red']")
    correct, count = map(int, rest[0].split()[-2:])
    assert count == 30 and correct >= 28
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (4 * 34 + 2, 2 * 34 + 2)


def test_every_module_of_torchvisions_name_is_there(tmp_path):
    program = """
    import torchvision
    from torchvision import datasets, io, ops, transforms, tv_tensors, utils
    from torchvision.transforms import v2
    from torchvision.transforms import functional as F
    import torchvision.transforms.functional as TF
    import torchvision.transforms.v2.functional as F2
    from torchvision.datasets import CIFAR10, MNIST
    from torchvision.datasets.folder import default_loader
    from torchvision.io import read_image
    from torchvision.ops.misc import FrozenBatchNorm2d
    from torchvision.ops.boxes import box_iou
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.autoaugment import AutoAugmentPolicy
    from torchvision.utils import make_grid
    import corten
    assert torchvision is corten.vision and F is TF and v2 is corten.vision.transforms.v2
    assert F2 is v2.functional and v2.InterpolationMode is InterpolationMode and ops.box_iou is box_iou
    try:
        from torchvision import extension
    except ImportError as error:
        print(error)
    try:
        CIFAR10("nowhere", download=True)
    except RuntimeError as error:
        print(error)
    """
    shown = run(program, tmp_path)
    assert "corten downloads nothing, download=True included" in shown
    assert "cannot import name 'extension' from" in shown


def test_operators_are_imported_without_pillow(tmp_path):
    program = """
    import sys
    sys.modules["PIL"] = None
    import torch, torchvision
    from torchvision import ops, datasets, transforms
    from torchvision.transforms import v2
    x = torch.rand(3, 8, 8)
    print(transforms.Resize(4)(x).shape, v2.RandomHorizontalFlip(1.0)(x).shape, ops.box_area(torch.ones(1, 4)))
    try:
        transforms.ToPILImage()(x)
    except ImportError as error:
        print(error)
    """
    shown = run(program, tmp_path)
    assert "images need pillow: pip install 'corten[vision]'" in shown and "torch.Size([3, 4, 4])" in shown
