"""An actor with a critic balances a pole (Sutton & Barto 2018, section 13.5)."""

import gymnasium as gym
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from harness import main

EPISODES, GAMMA, LONGEST = 180, 0.99, 200
EPS = torch.finfo(torch.float32).eps


class Policy(nn.Module):
    """Actor and critic in one model."""

    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 128)
        self.action_head = nn.Linear(128, 2)
        self.value_head = nn.Linear(128, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


def select_action(model, state, noise):
    """An action drawn with the actor's probabilities, its log probability and the state's value."""
    probs, state_value = model(torch.from_numpy(state).float())
    action = torch.searchsorted(probs.detach().cumsum(0), noise.uniform(1)).clamp_(max=1)
    return action.item(), probs[action].log(), state_value


def finish_episode(optimizer, saved_actions, rewards):
    R, returns = 0, []
    for r in rewards[::-1]:
        R = r + GAMMA * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + EPS)
    policy_losses, value_losses = [], []
    for (log_prob, value), target in zip(saved_actions, returns):
        advantage = target - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, target.reshape(1)))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    return loss


def train(models, data, noise, report):
    model, env = models["policy"], gym.make("CartPole-v1")
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    lengths = []
    for episode in range(EPISODES):
        state, _ = env.reset(seed=episode)
        saved_actions, rewards = [], []
        for _ in range(LONGEST):
            action, log_prob, value = select_action(model, state, noise)
            state, reward, done, _, _ = env.step(action)
            saved_actions.append((log_prob, value))
            rewards.append(reward)
            if done:
                break
        lengths.append(len(rewards))
        report(finish_episode(optimizer, saved_actions, rewards))
    return sum(lengths[-40:]) / 40


if __name__ == "__main__":
    main(lambda rng: {}, lambda: {"policy": Policy()}, train, uniforms=EPISODES * LONGEST)
