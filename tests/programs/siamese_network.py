"""Two branches with the same weights tell whether digits are alike (Bromley et al. 1993; Hadsell et al. 2006)."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from harness import digits, main

STEPS, BATCH, MARGIN = 100, 64, 1.0


class Pairs(Dataset):
    """Pairs of images and whether they show the same digit: half of them do."""

    def __init__(self, images, labels, draws):
        self.images, self.labels = images, labels
        self.by_label = [torch.nonzero(labels == digit).flatten() for digit in range(10)]
        self.draws = draws

    def __len__(self):
        return len(self.draws)

    def __getitem__(self, item):
        first, second, alike = self.draws[item]
        i = int(first * len(self.images))
        label = int(self.labels[i])
        same = bool(alike < 0.5)
        other = label if same else (label + 1 + int(alike * 1000) % 9) % 10
        candidates = self.by_label[other]
        j = candidates[int(second * len(candidates))]
        return self.images[i], self.images[j], torch.tensor(float(same))


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.PReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3),
            nn.PReLU(),
            nn.Flatten(),
            nn.Linear(128, 32),
        )

    def forward(self, first, second):
        return F.normalize(self.branch(first)), F.normalize(self.branch(second))


def contrastive_loss(a, b, same):
    distance = F.pairwise_distance(a, b)
    return (same * distance.pow(2) + (1 - same) * torch.clamp(MARGIN - distance, min=0.0).pow(2)).mean()


def make_data(rng):
    images, labels = digits(rng)
    return {"images": images, "labels": labels}


def train(models, data, noise, report):
    model = models["net"]
    images, labels = data["images"], data["labels"]
    train_set = Pairs(images[:1400], labels[:1400], noise.uniform(STEPS * BATCH, 3).tolist())
    test_set = Pairs(images[1400:], labels[1400:], noise.uniform(600, 3).tolist())
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[60, 80], gamma=0.5)
    for first, second, same in DataLoader(train_set, batch_size=BATCH, drop_last=True):
        optimizer.zero_grad()
        loss = contrastive_loss(*model(first, second), same)
        loss.backward()
        optimizer.step()
        scheduler.step()
        report(loss)
    correct = 0
    model.eval()
    with torch.no_grad():
        for first, second, same in DataLoader(test_set, batch_size=200):
            predicted = F.pairwise_distance(*model(first, second)) < MARGIN / 2
            correct += (predicted == same.bool()).sum().item()
    return correct / len(test_set)


if __name__ == "__main__":
    main(make_data, lambda: {"net": SiameseNetwork()}, train, uniforms=(STEPS * BATCH + 600) * 3)
