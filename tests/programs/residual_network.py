"""A residual network with batch normalisation, label smoothing and one cycle of the learning rate (He et al. 2016)."""

import torch
from torch import nn

from harness import digits, main

STEPS, BATCH = 120, 64


class BasicBlock(nn.Module):
    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or in_planes != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.layer1 = self._make_layer(16, 16, 1, stride=1)
        self.layer2 = self._make_layer(16, 32, 1, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(32, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, in_planes, planes, blocks, stride):
        layers = [BasicBlock(in_planes, planes, stride)]
        layers += [BasicBlock(planes, planes) for _ in range(blocks - 1)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def make_data(rng):
    images, labels = digits(rng)
    return {"images": images, "labels": labels}


def shifted(images, places):
    """Each image moved by at most a pixel, as `RandomCrop(8, padding=1)` does."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    rows = (places[:, 0, None] + torch.arange(8))[:, None, :, None]
    columns = (places[:, 1, None] + torch.arange(8))[:, None, None, :]
    return padded[torch.arange(len(images))[:, None, None, None], 0, rows, columns]


def train(models, data, noise, report):
    model = models["net"]
    images, labels = data["images"][:1500], data["labels"][:1500]
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=STEPS)
    model.train()
    for _ in range(STEPS):
        index = (noise.uniform(BATCH) * len(images)).long()
        places = (noise.uniform(BATCH, 2) * 3).long()
        loss = criterion(model(shifted(images[index], places)), labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        report(loss)
    model.eval()
    with torch.inference_mode():
        predicted = model(data["images"][1500:]).argmax(1)
    return (predicted == data["labels"][1500:]).float().mean()


if __name__ == "__main__":
    main(make_data, lambda: {"net": ResNet()}, train, uniforms=STEPS * BATCH * 3)
