"""What the example programs of scenes measure: agreement with captions, retrieval among captions that differ."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import corten
import numpy as np
import pytest

# Scenes are composed, tokens counted and captions compared before anything goes to a device.
pytestmark = pytest.mark.cpu

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def program(monkeypatch):
    """Imports a program of the examples by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module


@pytest.fixture
def data(program):
    """Scenes of squares on grey."""
    module = program("datasets.scenes")
    items = np.zeros((60, 28, 28), np.uint8)
    items[:, 6:22, 6:22] = 200
    targets = np.repeat(module.DISTINCT, 10)
    return module.compose(200, items, targets, [corten.full((3, 80, 80), 90, dtype=corten.uint8)], size=32)


def test_a_scene_agrees_with_its_own_caption(program, data):
    painting = program("text_to_image")
    kinds, tints = painting.quarters(data)
    assert ((kinds > 0) == (tints > 0)).all()
    assert ((kinds > 0).sum(1) == (data.labels >= 0).sum(1)).all()
    first = data.quarters[:, :1]
    assert corten.equal(tints.gather(1, first), data.colours[:, :1] + 1)
    assert all(right.all() for right in painting.agreement(data, kinds, tints).values())


@pytest.mark.parametrize("what", ["number", "class", "colour", "place"])
def test_a_scene_that_differs_in_one_thing_does_not_agree(program, data, what):
    painting = program("text_to_image")
    kinds, tints = painting.quarters(data)
    placed = corten.tensor([" at the " in caption for caption in data.captions])
    if what == "class":
        kinds = kinds.where(kinds == 0, kinds % (painting.KINDS - 1) + 1)
    elif what == "colour":
        tints = tints.where(tints == 0, tints % (painting.TINTS - 1) + 1)
    elif what == "place":
        kinds, tints = (numbers[:, corten.tensor([1, 3, 0, 2])] for numbers in (kinds, tints))
    else:  # one item is gone
        gone = (kinds > 0).long().argmax(1, keepdim=True)
        kinds, tints = (numbers.scatter(1, gone, 0) for numbers in (kinds, tints))
    found = painting.agreement(data, kinds, tints)
    if what == "place":
        assert not found["all"][placed].any() or not found["place"][placed].all()
        assert found["all"][~placed].all() and found["place"][~placed].all()
        diagonal = placed & (found["place"])  # as many places are taken as before, in another order of items
        assert not found["all"][diagonal].any()
    elif what in ("class", "colour"):
        alone = ((data.labels >= 0).sum(1) == 1) | ~placed  # two items may exchange what they are
        assert not found[what][alone].any() and not found["all"].any()
        assert found["number"].all() and found["place"].all()
    else:
        assert not found[what].any() and not found["all"].any()


def test_two_items_that_exchanged_their_colours_do_not_agree(program, data):
    painting = program("text_to_image")
    kinds, tints = painting.quarters(data)
    two = corten.tensor([" and " in caption for caption in data.captions])
    order = kinds[two].argsort(1, descending=True)[:, :2]
    pair = tints[two].gather(1, order)
    other = tints[two].scatter(1, order, pair.flip(1))
    rows = two.nonzero().flatten().tolist()
    part = type(data)(*(v[two] if isinstance(v, corten.Tensor) else [v[row] for row in rows] for v in data))
    found = painting.agreement(part, kinds[two], other)
    assert found["colour"].all() and found["class"].all() and not found["all"].any()


def test_groups_hold_captions_that_differ_and_every_image_finds_its_own(program):
    clip = program("clip")
    captions = ["a", "b", "a", "c", "b", "d", "c"]
    groups = clip.distinct(captions, 3)
    assert groups == [[0, 1, 3], [2, 4, 5]]
    vectors = corten.eye(7)
    assert clip.recall(vectors, vectors, groups) == 1.0
    assert clip.recall(vectors, vectors[[1, 0, 2, 3, 4, 5, 6]], groups) == pytest.approx(4 / 6)


def test_captions_end_with_the_largest_token(program):
    clip = program("clip")
    ids = clip.tokens(["two red bags", "a red bag at the top left and a blue boot at the bottom right"])
    assert ids.shape == (2, clip.WORDS) and (ids.max(1).values == clip.END).all()
    assert ids.argmax(1).tolist() == [3, 15] and (ids[0, 4:] == 0).all()


def test_boxes_are_mirrored_with_their_scenes(program, data):
    detection = program("detection")
    corten.manual_seed(0)
    images, boxes = data.images.repeat(1, 1, 2, 2), data.boxes * 2
    _, targets = detection.augmented(images, boxes, data.labels)
    for target, own, label in zip(targets, boxes, data.labels):
        count = int((label >= 0).sum())
        mirrored = corten.stack([64 - own[:, 2], own[:, 1], 64 - own[:, 0], own[:, 3]], 1)
        assert len(target["boxes"]) == count
        assert any(corten.equal(target["boxes"], version[:count]) for version in (own, mirrored))


def test_scenes_to_test_with_stand_on_other_photos(program, monkeypatch):
    module = program("datasets.scenes")
    seen = []
    monkeypatch.setattr(module, "photo", lambda name: seen.append(name) or corten.zeros(3, 70, 70, dtype=corten.uint8))

    class Clothes:
        data = corten.full((10, 28, 28), 200, dtype=corten.uint8)
        targets = corten.arange(10)

    monkeypatch.setattr(module, "fashion_mnist", lambda train: Clothes)
    module.scenes(3)
    training, seen[:] = set(seen), []
    module.scenes(3, train=False)
    assert set(seen) == set(module.HELD_OUT) and len(training) == 8 and not training & set(seen)


def test_varied_photos_are_the_same_for_a_seed_and_none_is_an_old_one(program):
    module = program("datasets.scenes")
    generator = np.random.default_rng(0)
    sizes = ((70, 90), (80, 72))
    photos = [corten.from_numpy(generator.integers(0, 256, (3, *size)).astype(np.uint8)) for size in sizes]
    found, again = (module.varied(photos, 12, seed=3) for _ in range(2))
    assert all(corten.equal(one, other) for one, other in zip(found, again)) and len(found) == 12
    assert {tuple(one.shape) for one in found} <= {(3, 70, 90), (3, 80, 72), (3, 70, 72)}
    old = [photo[:, :70, :72] for photo in photos]
    assert all(one.dtype == corten.uint8 and not any(corten.equal(one[:, :70, :72], of) for of in old) for one in found)


def test_questions_are_learned_from_other_items_and_photos_than_are_watched(program, monkeypatch):
    asking = program("visual_questions")
    seen = []
    monkeypatch.setattr(asking, "photo", lambda name: seen.append(name) or corten.zeros(3, 70, 70, dtype=corten.uint8))

    class Clothes:
        data = (corten.arange(600) // 500 * 100 + 100).to(corten.uint8)[:, None, None].expand(600, 28, 28)
        targets = corten.arange(600) % 10

    monkeypatch.setattr(asking, "fashion_mnist", lambda train: Clothes)
    monkeypatch.setattr(asking, "WATCHED_ITEMS", 100)
    studio = asking.Studio(SimpleNamespace(smoke=False, quick=False, seed=0))
    assert seen.count(asking.WATCHED_PHOTO) == 1 and not set(seen) & set(asking.HELD_OUT)
    assert (studio.items == 100).all() and (studio.watched[0] == 200).all() and len(studio.watched[2]) == 1
    assert len(studio.photos) == 7 * (1 + asking.VARIANTS)
    corten.manual_seed(5)
    first, second = studio.fresh(4), studio.fresh(4)
    corten.manual_seed(5)
    assert corten.equal(studio.fresh(4).images, first.images) and not corten.equal(first.images, second.images)
    assert studio.validation(4).questions == studio.validation(4).questions
