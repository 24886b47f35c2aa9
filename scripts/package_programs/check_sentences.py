"""A sentence encoder of sentence_transformers with fresh weights and a vocabulary of its own: losses, search, files."""

import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, losses, models, util

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "cat", "dog", "sleeps", "runs"]
WORDS += ["red", "blue", "car", "drives", "here", "there"]
PAIRS = (["the cat sleeps", "a red car"], ["a cat sleeps here", "the red car drives"])
BERT = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
BERT |= dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**BERT)).save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.fixture
def model(folder):
    words = models.Transformer(folder, max_seq_length=12)
    return SentenceTransformer(modules=[words, models.Pooling(16), models.Normalize()], device="cpu")


def trained(model, loss, labels=None, steps=6):
    optimizer, found = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for _ in range(steps):
        value = loss([dict(model.tokenize(texts)) for texts in PAIRS], labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    return found


def test_ranking_and_similarity_are_learnt(model):
    found = trained(model, losses.MultipleNegativesRankingLoss(model))
    assert found[-1] < found[0] / 2
    # What PyTorch 2.13 computes, here and below.
    assert found[0] == pytest.approx(0.591458, rel=1e-4)
    found = trained(model, losses.CosineSimilarityLoss(model), torch.tensor([0.2, 0.9]))
    assert found[-1] < found[0] and found[0] == pytest.approx(0.296126, rel=1e-3)


def test_what_is_searched_is_found_and_a_model_is_read_again(model, tmp_path):
    texts = PAIRS[0] + ["the dog runs there"]
    coded = model.encode(texts, convert_to_tensor=True)
    assert coded.shape == (3, 16) and torch.allclose(coded.norm(dim=1), torch.ones(3))
    hits = util.semantic_search(coded, coded, top_k=2)
    assert [found[0]["corpus_id"] for found in hits] == [0, 1, 2]
    torch.testing.assert_close(model.similarity(coded, coded), coded @ coded.T)
    model.save(str(tmp_path / "kept"))
    again = SentenceTransformer(str(tmp_path / "kept"), device="cpu")
    torch.testing.assert_close(again.encode(texts, convert_to_tensor=True), coded)
    assert model.encode(texts, precision="int8").dtype == "int8"


def test_a_cross_encoder_ranks(folder):
    model = CrossEncoder(folder, num_labels=1, device="cpu")
    ranked = model.rank("the cat sleeps", PAIRS[1])
    assert sorted(found["corpus_id"] for found in ranked) == [0, 1]
