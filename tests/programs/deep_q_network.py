"""Deep Q-learning with a replay memory and a target network balances a pole (Mnih et al. 2015)."""

import math
from collections import deque, namedtuple

import gymnasium as gym
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from harness import main

EPISODES, LONGEST, BATCH, GAMMA, TAU, LR = 80, 200, 64, 0.99, 0.01, 1e-3
EPS_START, EPS_END, EPS_DECAY = 0.9, 0.02, 400

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class DQN(nn.Module):
    def __init__(self, n_observations=4, n_actions=2):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 64)
        self.layer2 = nn.Linear(64, 64)
        self.layer3 = nn.Linear(64, n_actions)

    def forward(self, x):
        x = F.relu(self.layer1(x))
        x = F.relu(self.layer2(x))
        return self.layer3(x)


def optimize_model(policy_net, target_net, memory, optimizer, noise):
    index = (noise.uniform(BATCH) * len(memory)).long().tolist()
    batch = Transition(*zip(*[memory[i] for i in index]))
    non_final_mask = torch.tensor([s is not None for s in batch.next_state], dtype=torch.bool)
    non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
    state_batch, action_batch, reward_batch = torch.cat(batch.state), torch.cat(batch.action), torch.cat(batch.reward)
    state_action_values = policy_net(state_batch).gather(1, action_batch)
    next_state_values = torch.zeros(BATCH)
    with torch.no_grad():
        next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
    expected = (next_state_values * GAMMA) + reward_batch
    loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    return loss


def soft_update(target_net, policy_net):
    target, policy = target_net.state_dict(), policy_net.state_dict()
    for key in policy:
        target[key] = policy[key] * TAU + target[key] * (1 - TAU)
    target_net.load_state_dict(target)


def train(models, data, noise, report):
    policy_net, target_net, env = models["policy"], models["target"], gym.make("CartPole-v1")
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = optim.AdamW(policy_net.parameters(), lr=LR, amsgrad=True)
    memory, lengths, steps = deque(maxlen=10_000), [], 0
    for episode in range(EPISODES):
        before = steps
        state = torch.tensor(env.reset(seed=episode)[0], dtype=torch.float32).unsqueeze(0)
        for _ in range(LONGEST):
            threshold = EPS_END + (EPS_START - EPS_END) * math.exp(-steps / EPS_DECAY)
            steps += 1
            explore, which = noise.uniform(2).tolist()
            if explore > threshold:
                with torch.no_grad():
                    action = policy_net(state).max(1).indices.view(1, 1)
            else:
                action = torch.tensor([[int(which * 2)]], dtype=torch.long)
            observation, reward, terminated, _, _ = env.step(action.item())
            next_state = None if terminated else torch.tensor(observation, dtype=torch.float32).unsqueeze(0)
            memory.append(Transition(state, action, next_state, torch.tensor([reward])))
            state = next_state
            if len(memory) >= BATCH:
                report(optimize_model(policy_net, target_net, memory, optimizer, noise))
                soft_update(target_net, policy_net)
            if terminated:
                break
        lengths.append(steps - before)
    return sum(lengths[-20:]) / 20


if __name__ == "__main__":
    main(lambda rng: {}, lambda: {"policy": DQN(), "target": DQN()}, train, uniforms=EPISODES * LONGEST * (BATCH + 2))
