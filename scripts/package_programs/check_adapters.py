"""peft's adapters of a small model, accelerate's loop, and diffusers' network and schedules."""

import torch
import transformers
from accelerate import Accelerator
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from peft import LoraConfig, get_peft_model


def test_an_adapter_alone_learns_and_merges():
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)
    model = get_peft_model(transformers.GPT2LMHeadModel(config), LoraConfig(r=2, target_modules=["c_attn"]))
    ids = torch.arange(12).reshape(2, 6)
    model(input_ids=ids, labels=ids).loss.backward()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning and all("lora" in name for name in learning)
    expected = model.eval()(input_ids=ids).logits
    torch.testing.assert_close(model.merge_and_unload()(input_ids=ids).logits, expected)


def test_accelerator_trains():
    layer, accelerator = torch.nn.Linear(2, 1), Accelerator(cpu=True)
    layer, optimizer = accelerator.prepare(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    accelerator.backward(layer(torch.ones(3, 2)).square().sum())
    optimizer.step()


def test_a_network_denoises_by_schedules():
    blocks = dict(down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))
    model = UNet2DModel(8, 3, 3, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8, **blocks)
    x = torch.randn(1, 3, 8, 8)
    for kind in (DDPMScheduler, DDIMScheduler):
        schedule = kind(num_train_timesteps=100)
        schedule.set_timesteps(3)
        noisy = schedule.add_noise(x, torch.randn_like(x), torch.tensor([50]))
        model(noisy, 50).sample.square().mean().backward()
        with torch.no_grad():
            for t in schedule.timesteps:
                noisy = schedule.step(model(noisy, t).sample, t, noisy).prev_sample
        assert noisy.shape == x.shape and noisy.isfinite().all()
