"""Proximal policy optimization with generalized advantages balances poles (Schulman et al. 2017 and 2016)."""

import gymnasium as gym
import torch
import torch.nn as nn
from torch.distributions import Categorical

from harness import main

UPDATES, ENVS, STEPS, EPOCHS, MINIBATCHES = 24, 4, 64, 4, 4
GAMMA, LAMBDA, CLIP, VALUE_WEIGHT, ENTROPY_WEIGHT, MAX_NORM, LR = 0.99, 0.95, 0.2, 0.5, 0.01, 0.5, 1e-3
BATCH = ENVS * STEPS


def layer_init(layer, std=2**0.5):
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(4, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 1), std=1.0),
        )  # fmt: skip
        self.actor = nn.Sequential(
            layer_init(nn.Linear(4, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 2), std=0.01),
        )  # fmt: skip

    def get_value(self, x):
        return self.critic(x).squeeze(-1)

    def act(self, x, noise):
        """Actions ``(N,)`` drawn for states ``(N, 4)``, their log probabilities, and the states' values."""
        choice = Categorical(logits=self.actor(x))
        action = (choice.probs.cumsum(-1) < noise.uniform(len(x), 1)).sum(-1).clamp_(max=1)
        return action, choice.log_prob(action), self.get_value(x)

    def evaluate(self, x, action):
        choice = Categorical(logits=self.actor(x))
        return choice.log_prob(action), choice.entropy(), self.get_value(x)


class Poles:
    """Several environments side by side; one that ends begins again, from a seed of its own."""

    def __init__(self):
        self.envs = [gym.make("CartPole-v1", max_episode_steps=200) for _ in range(ENVS)]
        self.episodes, self.lengths, self.running = 0, [], [0] * ENVS
        self.states = torch.stack([self._reset(env) for env in self.envs])

    def _reset(self, env):
        self.episodes += 1
        return torch.as_tensor(env.reset(seed=self.episodes)[0], dtype=torch.float32)

    def step(self, actions):
        """Rewards ``(N,)`` and whether an episode ended there ``(N,)``."""
        states, rewards, ends = [], [], []
        for i, (env, action) in enumerate(zip(self.envs, actions.tolist())):
            state, reward, terminated, truncated, _ = env.step(action)
            self.running[i] += 1
            done = terminated or truncated
            if done:
                self.lengths.append(self.running[i])
                self.running[i] = 0
            states.append(self._reset(env) if done else torch.as_tensor(state, dtype=torch.float32))
            rewards.append(reward)
            ends.append(float(done))
        self.states = torch.stack(states)
        return torch.tensor(rewards), torch.tensor(ends)


@torch.no_grad()
def rollout(model, poles, noise):
    """States, actions, log probabilities, advantages and returns of a batch, each ``(STEPS * ENVS, ...)``."""
    states, actions = torch.zeros(STEPS, ENVS, 4), torch.zeros(STEPS, ENVS, dtype=torch.long)
    logprobs, rewards, ends, values = (torch.zeros(STEPS, ENVS) for _ in range(4))
    for t in range(STEPS):
        states[t] = poles.states
        actions[t], logprobs[t], values[t] = model.act(poles.states, noise)
        rewards[t], ends[t] = poles.step(actions[t])
    advantages, running, following = torch.zeros_like(rewards), torch.zeros(ENVS), model.get_value(poles.states)
    for t in reversed(range(STEPS)):
        goes_on = 1.0 - ends[t]
        delta = rewards[t] + GAMMA * following * goes_on - values[t]
        advantages[t] = running = delta + GAMMA * LAMBDA * goes_on * running
        following = values[t]
    return [x.flatten(0, 1) for x in (states, actions, logprobs, advantages, advantages + values)]


def loss_of(model, states, actions, logprobs, advantages, returns):
    logprob, entropy, value = model.evaluate(states, actions)
    ratio = (logprob - logprobs).exp()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy_loss = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
    value_loss = 0.5 * ((value - returns) ** 2).mean()
    return policy_loss + VALUE_WEIGHT * value_loss - ENTROPY_WEIGHT * entropy.mean()


def train(models, data, noise, report):
    model, poles = models["policy"], Poles()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, eps=1e-5)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=UPDATES)
    for _ in range(UPDATES):
        batch = rollout(model, poles, noise)
        for _ in range(EPOCHS):
            for index in noise.permutation(BATCH).chunk(MINIBATCHES):
                loss = loss_of(model, *[x[index] for x in batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
                optimizer.step()
                report(loss)
        scheduler.step()
    return sum(poles.lengths[-20:]) / 20


if __name__ == "__main__":
    main(lambda rng: {}, lambda: {"policy": ActorCritic()}, train, uniforms=UPDATES * BATCH * (1 + EPOCHS))
