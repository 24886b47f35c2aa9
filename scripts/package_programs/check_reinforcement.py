"""Players of stable_baselines3, taught in gymnasium's and in their own environments."""

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import IdentityEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize


def small():
    return dict(policy_kwargs=dict(net_arch=[32, 32]), seed=0, device="cpu")


@pytest.mark.parametrize("kind", [A2C, PPO, DQN])
def test_the_state_is_told_back(kind):
    environment = IdentityEnv(dim=2, ep_length=10)
    options = dict(n_steps=64, batch_size=32) if kind is PPO else {}
    if kind is DQN:
        options = dict(learning_starts=50, exploration_fraction=0.3, target_update_interval=50)
    player = kind("MlpPolicy", environment, gamma=0.0, learning_rate=3e-3, **options, **small())
    player.learn(800)
    assert evaluate_policy(player, environment, 5, warn=False)[0] >= 9


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_continuous_actions_are_learnt_and_kept(kind, tmp_path):
    player = kind("MlpPolicy", "Pendulum-v1", learning_starts=50, batch_size=16, **small())
    before = [p.clone() for p in player.actor.parameters()]
    player.learn(80)
    assert any(not torch.equal(a, b) for a, b in zip(before, player.actor.parameters(), strict=True))
    player.save(tmp_path / "player")
    again, seen = kind.load(tmp_path / "player"), np.ones(3, np.float32)
    assert np.array_equal(again.predict(seen, deterministic=True)[0], player.predict(seen, deterministic=True)[0])


def test_a_pole_stands_longer_after_some_practice():
    environment = VecNormalize(make_vec_env("CartPole-v1", n_envs=2, seed=0), norm_reward=False)
    player = PPO("MlpPolicy", environment, n_steps=256, batch_size=128, n_epochs=6, learning_rate=2e-3, **small())
    player.learn(6144)
    environment.training = False
    assert evaluate_policy(player, environment, 5)[0] > 60


def test_pictures_and_vectors_are_seen_together():
    player = PPO("MultiInputPolicy", SimpleMultiObsEnv(), n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu")
    player.learn(32)
    assert isinstance(player.policy.features_extractor, torch.nn.Module)
