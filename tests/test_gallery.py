"""The gallery: its page is what its records say, and a program that ran anew takes only its own place."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
pytestmark = pytest.mark.cpu


@pytest.fixture
def gallery(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("gallery")


@pytest.fixture
def elsewhere(gallery, monkeypatch, tmp_path):
    """The gallery of a checkout with one program, which draws a picture and tells a result."""
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "painter.py").write_text(
        '"""Paints."""\n'
        "import sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        'if __name__ == "__main__":\n'
        '    Image.new("RGB", (2000, 10)).save(Path(sys.argv[sys.argv.index("--out") + 1]) / "wall.png")\n'
        '    print("RESULT painter accuracy=0.5 target=0.4")\n'
    )
    pictures = tmp_path / "docs" / "gallery"
    for name, value in {
        "ROOT": tmp_path, "EXAMPLES": examples, "WORK": tmp_path / "out", "PAGE": tmp_path / "docs" / "gallery.md",
        "PICTURES": pictures, "RECORDS": pictures / "records.json",
    }.items():  # fmt: skip
        monkeypatch.setattr(gallery, name, value)
    monkeypatch.setattr(gallery.sys, "argv", ["gallery"])
    (tmp_path / "out" / "painter").mkdir(parents=True)
    return tmp_path


def test_the_page_is_what_the_records_say(gallery):
    assert gallery.PAGE.read_text("utf-8") == gallery.page(gallery.programs())
    kept = {picture for run in gallery.records().values() for picture in run.pictures}
    assert kept == {path.name for path in gallery.PICTURES.glob("*.png")}


def test_a_program_takes_its_place_and_no_other(gallery, elsewhere):
    gallery.keep("older", [("older", "bits_per_character", 2.5, 2.0)], [], 30.0)
    gallery.main()
    found = gallery.records()
    assert sorted(found) == ["older", "painter"] and found["painter"].results == [["painter", "accuracy", 0.5, 0.4]]
    assert (elsewhere / "docs" / "gallery" / "painter-wall.png").exists()
    assert "![painter: wall](gallery/painter-wall.png)" in gallery.PAGE.read_text("utf-8")
    assert not gallery.reached("bits_per_character", 2.5, 2.0) and gallery.reached("accuracy", 0.5, 0.4)


def test_what_has_ended_runs_again_where_it_is_asked_for(gallery, elsewhere, monkeypatch):
    gallery.main()
    ran = []
    monkeypatch.setattr(gallery, "run", lambda name, device: ran.append(name))
    gallery.main()
    assert not ran
    monkeypatch.setattr(gallery.sys, "argv", ["gallery", "--again"])
    gallery.main()
    assert ran == ["painter"] and not gallery.ended_here("painter").exists()


def test_a_program_without_a_result_is_told(gallery, elsewhere):
    (elsewhere / "examples" / "painter.py").write_text('if __name__ == "__main__":\n    pass\n')
    with pytest.raises(SystemExit, match="without a line RESULT"):
        gallery.main()
    assert not gallery.records()
