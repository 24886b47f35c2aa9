"""A small convolutional network reads handwritten digits (LeCun et al. 1998)."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from harness import digits, main

EPOCHS, BATCH = 8, 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


def make_data(rng):
    images, labels = digits(rng)
    return {"images": images, "labels": labels}


def test(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for data, target in loader:
            pred = model(data).argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    return correct / len(loader.dataset)


def train(models, data, noise, report):
    model = models["net"]
    images, labels = data["images"], data["labels"]
    train_set = TensorDataset(images[:1500], labels[:1500])
    test_loader = DataLoader(TensorDataset(images[1500:], labels[1500:]), batch_size=1000)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.8)
    for _ in range(EPOCHS):
        model.train()
        order = noise.permutation(len(train_set)).tolist()
        for batch, target in DataLoader(train_set, batch_size=BATCH, sampler=order):
            optimizer.zero_grad()
            loss = F.nll_loss(model(batch), target)
            loss.backward()
            optimizer.step()
            report(loss)
        scheduler.step()
    return test(model, test_loader)


if __name__ == "__main__":
    main(make_data, lambda: {"net": Net()}, train, uniforms=EPOCHS * 1500)
