"""Text to tokens and back: byte-level BPE (GPT-2, SmolLM2), which can be learned, and WordPiece (BERT)."""

import functools
import heapq
import itertools
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict

__all__ = ["ByteLevelBPE", "WordPiece"]


@functools.cache
def _classes():
    """Letters and numbers as Unicode has them, for use within the brackets of a regular expression."""
    # Python's \w and \d lack these: numbers that are no decimal digits count as letters.
    others = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in ("Nl", "No"))
    return rf"[^\W\d_{others}]", rf"[\d{others}]"


@functools.cache
def _byte_symbols():
    """By byte the printable character that stands for it in a vocabulary of GPT-2's kind."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(rest)}}


class ByteLevelBPE:
    """Byte pair encoding of bytes (Sennrich et al., arXiv:1508.07909; Radford et al. 2019, section 2.2).

    Args:
        tokens: the vocabulary, in the order of its numbers.
        merges: pairs such as ``"t h"`` that become one, the first ones first.
        special: tokens that are found in the text as they are.
        split_digits: whether every digit is a piece of its own, as in SmolLM2.
    """

    def __init__(self, tokens, merges, special=(), split_digits=False):
        self.tokens = list(tokens)
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self._ranks = {tuple(pair.split(" ")): rank for rank, pair in enumerate(merges)}
        letter, number = _classes()
        other = f"(?:(?!{letter}|{number})\\S)"
        self._pieces = re.compile(rf"'(?:s|t|re|ve|m|ll|d)| ?{letter}+| ?{number}+| ?{other}+|\s+(?!\S)|\s+")
        self._digits = re.compile(f"({number})") if split_digits else None
        longest_first = sorted(special, key=len, reverse=True)
        self._special = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if special else None
        self._special_ids = frozenset(self.ids[token] for token in special)
        self._merge = functools.lru_cache(100_000)(self._merge_piece)

    @classmethod
    def from_gguf(cls, metadata):
        """The tokenizer in the facts of a GGUF file.

        Raises:
            ValueError: the file's tokenizer is no byte-level BPE.
        """
        if metadata.get("tokenizer.ggml.model") != "gpt2":
            raise ValueError(
                f"ByteLevelBPE: the file's tokenizer is {metadata.get('tokenizer.ggml.model')!r}, not 'gpt2'"
            )
        tokens = metadata["tokenizer.ggml.tokens"]
        control = 3
        kinds = metadata.get("tokenizer.ggml.token_type", [])
        special = [token for token, kind in zip(tokens, kinds) if kind == control]
        split_digits = metadata.get("tokenizer.ggml.pre") == "smollm"
        return cls(tokens, metadata["tokenizer.ggml.merges"], special, split_digits)

    @classmethod
    def train(cls, texts, vocab_size, special=(), split_digits=False):
        """Learns a vocabulary: again and again the most frequent pair of neighbours within a piece becomes one token.

        Its first tokens are the special ones and the 256 bytes, so every text can be encoded. Of pairs that are as
        frequent the first in the order of their symbols is taken, so equal texts give equal vocabularies.

        Args:
            texts: to learn from.
            vocab_size: how many tokens at most; fewer where no pair occurs twice.
            special: tokens that are found in a text as they are, with the numbers 0, 1, ….
            split_digits: whether every digit is a piece of its own.

        Raises:
            TypeError: ``texts`` is one string.
            ValueError: ``vocab_size`` has no room for the bytes and the special tokens.

        Example:
            >>> from corten.models import ByteLevelBPE
            >>> words = ByteLevelBPE.train(["low lower lowest"], 260)
            >>> [words.tokens[number] for number in words.encode("slow")]
            ['s', 'low']
        """
        if isinstance(texts, str):
            raise TypeError("ByteLevelBPE.train: texts is a list of texts, got a str")
        tokens = [*special, *_byte_symbols().values()]
        if vocab_size < len(tokens):
            raise ValueError(
                f"ByteLevelBPE.train: vocab_size must be at least {len(tokens)}, for 256 bytes and {len(special)} "
                f"special tokens, got {vocab_size}"
            )
        plain = cls(tokens, [], special, split_digits)
        pieces = Counter(piece for text in texts for piece, known in plain._split(text) if not known)
        merges = _frequent_pairs(pieces, vocab_size - len(tokens))
        # Two pairs may make the same token.
        tokens += dict.fromkeys("".join(pair) for pair in merges)
        return cls(tokens, [" ".join(pair) for pair in merges], special, split_digits)

    def _split(self, text):
        """The pieces of a text, each with whether it is a special token."""
        for stretch in self._special.split(text) if self._special else [text]:
            if self.ids.get(stretch) in self._special_ids:
                yield stretch, True
                continue
            for part in self._digits.split(stretch) if self._digits else [stretch]:
                for piece in self._pieces.findall(part):
                    yield piece, False

    def _merge_piece(self, piece):
        """The numbers of a piece's tokens."""
        symbols = _byte_symbols()
        parts = [symbols[byte] for byte in piece.encode()]
        while len(parts) > 1:
            pairs = list(itertools.pairwise(parts))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, sys.maxsize))
            if best not in self._ranks:
                break
            parts = _joined(parts, best)
        return [self.ids[part] for part in parts]

    def encode(self, text):
        """The numbers of a text's tokens."""
        ids = []
        for piece, known in self._split(text):
            ids += [self.ids[piece]] if known else self._merge(piece)
        return ids

    def decode(self, ids):
        """The text of tokens; bytes that are no UTF-8 become U+FFFD."""
        byte_of = {symbol: byte for byte, symbol in _byte_symbols().items()}
        data = b""
        for number in ids:
            token = self.tokens[number]
            data += token.encode() if number in self._special_ids else bytes(byte_of[symbol] for symbol in token)
        return data.decode(errors="replace")


def _joined(parts, pair):
    """The parts of a piece with every occurrence of the pair as one part, from the left."""
    merged, at = [], 0
    while at < len(parts):
        found = at + 1 < len(parts) and (parts[at], parts[at + 1]) == pair
        merged.append(parts[at] + parts[at + 1] if found else parts[at])
        at += 2 if found else 1
    return merged


def _frequent_pairs(pieces, count):
    """The pairs to merge, the first ones first, of pieces with their frequencies, until they make `count` tokens."""
    symbols = _byte_symbols()
    words = [[symbols[byte] for byte in piece.encode()] for piece in pieces]
    frequencies = list(pieces.values())
    totals, places = Counter(), defaultdict(set)
    for place, (word, frequency) in enumerate(zip(words, frequencies)):
        for pair in itertools.pairwise(word):
            totals[pair] += frequency
            places[pair].add(place)
    # An entry whose frequency is no longer that of its pair is passed over when it comes up.
    queue = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(queue)
    merges, made = [], set()
    while queue and len(made) < count:
        total, best = heapq.heappop(queue)
        if -total != totals[best]:
            continue
        if -total < 2:
            break
        merges.append(best)
        made.add("".join(best))
        changed = set()
        for place in places.pop(best):
            for pair in itertools.pairwise(words[place]):
                totals[pair] -= frequencies[place]
                changed.add(pair)
            words[place] = _joined(words[place], best)
            for pair in itertools.pairwise(words[place]):
                totals[pair] += frequencies[place]
                places[pair].add(place)
                changed.add(pair)
        for pair in sorted(changed):
            heapq.heappush(queue, (-totals[pair], pair))
    return merges


class WordPiece:
    """WordPiece of lower-case text (Devlin et al., arXiv:1810.04805): words, then their longest known pieces.

    Args:
        vocabulary: by token its number; pieces within a word begin with ``##``.
        max_length: tokens that are kept, ``[CLS]`` and ``[SEP]`` included.
    """

    def __init__(self, vocabulary, max_length=512):
        self.ids, self.max_length = dict(vocabulary), max_length
        self.pad, self.unknown, self.cls, self.sep, self.mask = (
            self.ids[f"[{name}]"] for name in ("PAD", "UNK", "CLS", "SEP", "MASK")
        )

    @classmethod
    def from_json(cls, path, max_length=512):
        """The tokenizer of a file ``tokenizer.json``."""
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file)["model"]["vocab"], max_length)

    def words(self, text):
        """Lower-case words without accents; punctuation and ideographs are words of their own."""
        spaced = []
        for character in unicodedata.normalize("NFD", text.lower()):
            category = unicodedata.category(character)
            if category == "Mn" or character in "\0\ufffd" or (category[0] == "C" and character not in "\t\n\r"):
                continue
            alone = category[0] == "P" or (character.isascii() and category[0] == "S") or _ideograph(character)
            spaced.append(f" {character} " if alone else character)
        return "".join(spaced).split()

    def _pieces(self, word):
        pieces, first = [], 0
        while first < len(word):
            prefix = "##" if first else ""
            lasts = range(len(word), first, -1)
            last = next((last for last in lasts if prefix + word[first:last] in self.ids), None)
            if last is None or len(word) > 100:
                return [self.unknown]
            pieces.append(self.ids[prefix + word[first:last]])
            first = last
        return pieces

    def encode(self, text):
        """The numbers of ``[CLS]``, the text's tokens and ``[SEP]``."""
        ids = [piece for word in self.words(text) for piece in self._pieces(word)]
        return [self.cls, *ids[: self.max_length - 2], self.sep]

    def batch(self, texts, device=None):
        """Texts as tokens ``(N, L)``, padded, and a mask ``(N, L)`` that is true where a token stands."""
        import corten

        rows = [self.encode(text) for text in texts]
        length = max(map(len, rows))
        ids = corten.tensor([row + [self.pad] * (length - len(row)) for row in rows], device=device)
        counts = corten.tensor([len(row) for row in rows], device=device)
        return ids, corten.arange(length, device=device) < counts[:, None]


def _ideograph(character):
    code = ord(character)
    blocks = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
    return any(first <= code <= last for first, last in blocks)
