"""Augmentation: what is masked, mixed, moved or taken out, how much of it, and that the rest is left alone."""

from __future__ import annotations

import os

import corten
import numpy as np
import pytest
from corten import data
from corten.vision.transforms import v2

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

PAD, MASK = 0, 1
FIRST_SENTINEL = 900


def seeded(seed: int = 0) -> corten.Generator:
    generator = corten.Generator()
    generator.manual_seed(seed)
    return generator


def sentences(rows: int = 200, width: int = 60, shortest: int = 10) -> corten.Tensor:
    """Rows of distinct tokens from 100 on, of different lengths, padded."""
    lengths = corten.randint(shortest, width + 1, (rows, 1), generator=seeded(9))
    tokens = 100 + corten.arange(width).expand(rows, -1)
    return tokens.masked_fill(corten.arange(width) >= lengths, PAD)


def test_mixup_mixes_targets_as_it_mixes_inputs():
    classes = corten.arange(64) % 4
    inputs = corten.nn.functional.one_hot(classes, 4).float()
    mixed, targets = data.mixup(inputs, classes, alpha=1.0, num_classes=4)
    assert corten.allclose(mixed, targets)  # the inputs are their own labels
    assert corten.allclose(targets.sum(1), corten.ones(64))
    assert ((targets > 0.05).sum(1) == 2).float().mean() > 0.4  # three of four partners are of another class
    assert mixed.max(1).values.min() >= 0.5 - 1e-6


def test_mixup_of_one_weight_mixes_the_whole_batch_alike():
    inputs = corten.eye(8)
    mixed, targets = data.mixup(inputs, inputs, alpha=5.0, per_sample=False)
    parts = mixed[mixed > 0].unique()
    assert corten.equal(mixed, targets)
    assert len(parts) <= 3 and parts.min() + parts[-2:].min() <= 1.0 + 1e-6


def test_mixup_mixes_the_targets_of_a_regression():
    inputs = corten.randn(32, 3)
    weight = corten.tensor([1.0, -2.0, 0.5])
    mixed, targets = data.mixup(inputs, inputs @ weight)
    assert corten.allclose(mixed @ weight, targets, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: data.mixup(corten.ones(2, 2), corten.tensor([0, 1])), ValueError, "need num_classes"),
        (lambda: data.mixup(corten.ones(2, 2), corten.ones(3)), ValueError, "2 inputs and 3 targets"),
        (lambda: data.mixup(corten.ones(2, 2), corten.ones(2), alpha=0), ValueError, "alpha should be positive"),
        (lambda: data.mixup(corten.ones(2, 2).long(), corten.ones(2)), TypeError, "floating point"),
    ],
)
def test_mixup_says_what_it_cannot_mix(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_cutmix_weighs_labels_by_the_area_that_is_left():
    images = corten.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 32, 32).contiguous()
    corten.manual_seed(3)
    mixed, targets = v2.CutMix(num_classes=6)(images, corten.arange(6))
    own = (mixed == images).float().mean((1, 2, 3))
    assert 0 < own[0] < 1
    assert corten.allclose(targets.diagonal(), own, atol=1e-6)


@pytest.mark.parametrize("policy", [v2.RandAugment, v2.TrivialAugmentWide, v2.AugMix])
def test_policies_change_images_of_bytes_and_follow_the_seed(policy):
    images = corten.randint(0, 256, (4, 3, 32, 32), dtype=corten.uint8)
    corten.manual_seed(0)
    first = [policy()(image) for image in images]
    corten.manual_seed(0)
    again = [policy()(image) for image in images]
    assert all(a.shape == (3, 32, 32) and a.dtype == corten.uint8 for a in first)
    assert all(corten.equal(a, b) for a, b in zip(first, again))
    assert any(not corten.equal(a, b) for a, b in zip(first, images))


@pytest.mark.parametrize(("masking", "dim"), [(data.FrequencyMasking, 2), (data.TimeMasking, 3)])
@pytest.mark.parametrize("iid", [False, True])
def test_masks_are_bands_below_their_width(masking, dim, iid):
    specgram = corten.ones(300, 1, 40, 50)
    masked = masking(10, iid_masks=iid)(specgram) == 0
    other = 5 - dim
    assert corten.equal(masked.any(other), masked.all(other))  # whole rows or columns
    band = masked.any(other)[:, 0]
    widths = band.sum(1)
    assert widths.max() <= 9
    edges = band[:, 1:].ne(band[:, :-1]).sum(1)
    assert edges.max() <= 2  # one band
    if iid:
        assert len(widths.unique()) == 10  # 0 to 9 all occur
    else:
        assert corten.equal(band, band[:1].expand_as(band))


def test_bands_come_to_lie_everywhere():
    band = data.FrequencyMasking(10, iid_masks=True)(corten.ones(2000, 40, 5))[:, :, 0] == 0
    share = band.float().mean(0)
    assert share.min() > 0 and share[10:30].std() < 0.02


def test_time_masks_keep_to_their_share_of_the_frames():
    masked = data.TimeMasking(40, iid_masks=True, p=0.2)(corten.ones(500, 3, 50)) == 0
    assert masked[:, 0].sum(1).max() <= 10


def test_masks_take_the_value_they_are_given():
    specgram = corten.rand(20, 10, 12) + 1
    masked = data.TimeMasking(6, iid_masks=True)(specgram, -3.0)
    assert corten.equal(masked[masked != -3.0], specgram[masked != -3.0])
    assert (masked == -3.0).any()


def test_spec_augment_masks_several_times_with_the_mean():
    specgram = corten.rand(200, 40, 100)
    augmented = data.SpecAugment(2, 20, 2, 8)(specgram)
    changed = augmented != specgram
    assert corten.allclose(augmented[changed], specgram.mean())
    rows, columns = changed.all(2).sum(1), changed.all(1).sum(1)
    assert rows.max() > 7 and columns.max() > 19  # more than one mask has
    assert rows.max() <= 14 and columns.max() <= 38
    assert (data.SpecAugment(1, 20, 1, 8, zero_masking=True)(specgram) == 0).any()


def test_time_warp_keeps_the_ends_and_the_order():
    frames = corten.arange(200.0).expand(50, 3, 200).contiguous()
    warped = data.TimeWarp(20)(frames)
    assert corten.allclose(warped[..., 0], frames[..., 0]) and corten.allclose(warped[..., -1], frames[..., -1])
    assert (warped.diff(dim=-1) > 0).all()
    moves = (warped - frames).abs().amax((1, 2))
    assert moves.max() < 19 and moves.max() > 10
    assert len(moves.unique()) == 50  # each in its own way
    assert corten.equal(warped[:, 0], warped[:, 2])  # all frequencies alike
    short = corten.rand(2, 3, 40)
    assert corten.equal(data.TimeWarp(20)(short), short)


@pytest.mark.parametrize("layer", [data.TimeMasking(3), data.SpecAugment(1, 3, 1, 3), data.TimeWarp(3)])
def test_spectrograms_of_another_kind_are_refused(layer):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., freq, time\), but got \(5,\)"):
        layer(corten.ones(5))
    with pytest.raises(TypeError, match="floating point"):
        layer(corten.ones(5, 5, dtype=corten.int64))


def test_masked_tokens_are_the_labels_and_go_80_10_10():
    tokens = sentences(2000)
    inputs, labels = data.mask_tokens(tokens, MASK, 1000, pad_id=PAD, special=[100], generator=seeded())
    chosen = labels != -100
    real = tokens != PAD
    assert corten.equal(labels[chosen], tokens[chosen])
    assert corten.equal(inputs[~chosen], tokens[~chosen])
    assert not (chosen & ~real).any() and not chosen[:, 0].any()  # every row begins with the special token
    able = (real & (tokens != 100)).sum().item()
    assert chosen.sum().item() / able == pytest.approx(0.15, abs=0.01)
    assert (inputs[chosen] == MASK).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (inputs[chosen] == tokens[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.02)


def rows_of(tokens: corten.Tensor) -> list[list[int]]:
    """The rows without their padding, which must be at the end."""
    rows = tokens.tolist()
    lengths = [sum(token != PAD for token in row) for row in rows]
    assert all(PAD not in row[:length] for row, length in zip(rows, lengths))
    return [row[:length] for row, length in zip(rows, lengths)]


def test_deletion_keeps_the_order_of_what_remains():
    tokens = sentences()
    deleted = data.delete_tokens(tokens, PAD, special=[105], rate=0.3, generator=seeded())
    before, after = rows_of(tokens), rows_of(deleted)
    assert all(set(b) <= set(a) and b == sorted(b) and 105 in b for a, b in zip(before, after))
    assert sum(map(len, after)) / sum(map(len, before)) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("distance", [0, 1, 3])
def test_swapped_tokens_stay_near(distance):
    tokens = sentences()
    swapped = data.swap_tokens(tokens, PAD, special=[104], distance=distance, generator=seeded())
    before, after = rows_of(tokens), rows_of(swapped)
    assert all(sorted(b) == a and b[4] == 104 for a, b in zip(before, after))
    # 104 stays, so whoever passes it is one place further.
    furthest = max(abs(token - 100 - place) for row in after for place, token in enumerate(row))
    assert furthest == (distance + 1 if distance else 0)
    assert (swapped != tokens).any() == bool(distance)


def test_infilling_puts_one_mask_for_a_span():
    tokens = sentences(2000, width=80)
    filled = data.infill_spans(tokens, MASK, PAD, special=[110], rate=0.3, generator=seeded())
    kept = missing = total = masks = inserted = 0
    for before, after in zip(rows_of(tokens), rows_of(filled)):
        present = [token for token in after if token != MASK]
        assert present == sorted(present) and set(present) <= set(before)
        assert len(before) <= 10 or 110 in present or len(after) == 80
        kept, total, masks = kept + len(present), total + len(before), masks + after.count(MASK)
        missing += len(before) - len(present)
        edges = [99, *after, before[-1] + 1]
        for left, token, right in zip(edges, edges[1:], edges[2:]):
            inserted += token == MASK and MASK not in (left, right) and right == left + 1
    assert missing / total == pytest.approx(0.3, abs=0.02)
    assert missing / masks > 2  # a mask stands for several
    assert inserted > 0  # and some for none


def joined(inputs: list[int], targets: list[int]) -> list[int]:
    """The row that span corruption took apart, put together again."""
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token >= FIRST_SENTINEL:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    assert all(spans.values())
    return [part for token in inputs for part in spans.get(token, [token])]


def test_corrupted_spans_and_targets_make_the_row_again():
    tokens = sentences(300, width=70, shortest=0)
    inputs, targets = data.corrupt_spans(tokens, FIRST_SENTINEL, PAD, generator=seeded())
    for before, left, taken in zip(rows_of(tokens), rows_of(inputs), rows_of(targets)):
        assert joined(left, taken) == before
        sentinels = [token for token in left if token >= FIRST_SENTINEL]
        assert sentinels == [token for token in taken if token >= FIRST_SENTINEL]
        assert sentinels == list(range(FIRST_SENTINEL, FIRST_SENTINEL + len(sentinels)))
        if len(before) >= 2:
            noise = max(round(len(before) * 0.15), 1)
            assert len(taken) - len(sentinels) == noise
            assert len(sentinels) == max(round(noise / 3), 1)
    assert len(inputs) == 300 and (inputs != PAD).any(0).all()  # no column of padding alone


def test_spans_are_corrupted_everywhere():
    tokens = 100 + corten.arange(50).expand(4000, -1)
    inputs, _ = data.corrupt_spans(tokens, FIRST_SENTINEL, PAD, generator=seeded())
    share = corten.stack([(inputs == token).any(1) for token in range(100, 150)]).float().mean(1)
    # The spans' lengths vary, so the ends lose a little less; on average a row of 50 loses 8.
    assert share.mean().item() == pytest.approx(42 / 50)
    assert share.min() > 0.75 and share.max() < 0.95


def test_sentinels_may_count_downwards():
    tokens = 100 + corten.arange(60).expand(2, -1)
    inputs, _ = data.corrupt_spans(tokens, 999, PAD, sentinel_step=-1, generator=seeded())
    assert [token for token in inputs[0].tolist() if token > 200] == [999, 998, 997]


@pytest.mark.parametrize(
    "noise",
    [
        lambda tokens, generator: data.mask_tokens(tokens, MASK, 1000, generator=generator)[0],
        lambda tokens, generator: data.delete_tokens(tokens, generator=generator),
        lambda tokens, generator: data.swap_tokens(tokens, generator=generator),
        lambda tokens, generator: data.infill_spans(tokens, MASK, generator=generator),
        lambda tokens, generator: data.corrupt_spans(tokens, FIRST_SENTINEL, generator=generator)[0],
    ],
)
def test_noise_follows_its_seed_and_refuses_other_shapes(noise):
    tokens = sentences(20)
    assert corten.equal(noise(tokens, seeded(1)), noise(tokens, seeded(1)))
    first, other = noise(tokens, seeded(1)), noise(tokens, seeded(2))
    assert first.shape != other.shape or not corten.equal(first, other)
    assert noise(tokens, seeded(1)).dtype == tokens.dtype
    with pytest.raises(ValueError, match=r"integers of shape \(N, T\)"):
        noise(corten.ones(3), seeded())


def test_shares_outside_their_range_are_refused():
    tokens = sentences(2)
    with pytest.raises(ValueError, match="rate should be from 0 to below 1"):
        data.delete_tokens(tokens, rate=1.0)
    with pytest.raises(ValueError, match="keep and replace"):
        data.mask_tokens(tokens, MASK, 1000, keep=0.6, replace=0.6)
    with pytest.raises(ValueError, match="mean_length"):
        data.corrupt_spans(tokens, FIRST_SENTINEL, mean_length=0.5)


@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
@pytest.mark.parametrize("default", ["cpu", "gpu"])
def test_augmentation_of_tensors_on_a_gpu_is_that_of_the_cpu(default):
    tokens, specgram = sentences(20), corten.rand(3, 20, 60)
    inputs, classes = corten.rand(6, 4), corten.arange(6) % 3
    calls = [
        (lambda x: data.mask_tokens(x, MASK, 1000), tokens),
        (lambda x: data.delete_tokens(x, special=[101]), tokens),
        (lambda x: data.swap_tokens(x, special=[101]), tokens),
        (lambda x: data.infill_spans(x, MASK), tokens),
        (lambda x: data.corrupt_spans(x, FIRST_SENTINEL), tokens),
        (data.SpecAugment(2, 9, 2, 5, time_warp_param=8), specgram),
        (lambda x: data.mixup(x, classes.to(x.device), num_classes=3), inputs),
    ]
    for call, given in calls:
        corten.manual_seed(3)
        expected = call(given)
        corten.manual_seed(3)
        with corten.device(default):
            found = call(given.to("gpu"))
        pairs = zip(expected, found) if isinstance(expected, tuple) else [(expected, found)]
        for one, other in pairs:
            assert other.device.type == corten.device("gpu").type
            assert corten.allclose(one, other.cpu(), atol=1e-6)


def test_a_rate_of_nothing_changes_nothing():
    tokens = sentences(20)
    assert corten.equal(data.delete_tokens(tokens, rate=0.0), tokens)
    assert corten.equal(data.infill_spans(tokens, MASK, rate=0.0), tokens)
    assert np.array_equal(data.mask_tokens(tokens, MASK, 1000, rate=0.0)[0].numpy(), tokens.numpy())
