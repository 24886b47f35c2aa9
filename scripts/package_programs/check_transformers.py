"""Small language models of transformers, with fresh weights."""

import pytest
import torch
import transformers as T

IDS = torch.randint(3, 90, (2, 7), generator=torch.Generator().manual_seed(0))
SMALL = dict(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
T5 = dict(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0)
MODELS = {
    "bert": lambda: T.BertForMaskedLM(T.BertConfig(**SMALL)),
    "gpt2": lambda: T.GPT2LMHeadModel(T.GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4)),
    "llama": lambda: T.LlamaForCausalLM(T.LlamaConfig(**SMALL, num_key_value_heads=2)),
    "t5": lambda: T.T5ForConditionalGeneration(T.T5Config(**T5)),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


def test_training(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(input_ids=IDS, labels=IDS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_generation(model):
    if not model.can_generate():
        pytest.skip("the model does not generate")
    options = dict(max_new_tokens=5, pad_token_id=0)
    assert torch.equal(model.eval().generate(IDS, **options), model.generate(IDS, use_cache=False, **options))
    assert model.generate(IDS, do_sample=True, top_k=5, **options).shape[0] == 2


def test_weights_are_saved_and_loaded(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
