"""Latent semantic analysis as the words' first vectors."""

import numpy as np
import pytest
import torch
from samples import small_pretrainer
from sklearn.frozen import FrozenEstimator

from skfnet import FNetClassifier, FNetPretrainer, FNetRegressor, TextTokenizer
from skfnet.batches import TokenArray
from skfnet.lsa import latent_semantic_vectors

SUBJECTS = {
    "space": ["orbit", "rocket", "moon", "launch", "star", "comet"],
    "sea": ["whale", "harbor", "wave", "sailor", "tide", "coral"],
    "cooking": ["flour", "oven", "sugar", "recipe", "butter", "dough"],
}
# More words than axes, or the decomposition would have nothing to leave out.
WORDS = [word for words in SUBJECTS.values() for word in words]


def documents(n, seed=0):
    """Give documents of four words of one subject, of which no two need have one in common."""
    random = np.random.default_rng(seed)
    names = random.choice(list(SUBJECTS), n)
    return [" ".join(random.choice(SUBJECTS[name], 4)) for name in names], names


def test_words_stand_where_numpys_decomposition_places_them():
    texts, _ = documents(200)
    tokenizer = TextTokenizer(min_frequency=1).fit(texts)
    ids, vectors = latent_semantic_vectors(tokenizer.transform(texts), 3, seed=0)

    counts = np.array([[text.split().count(word) for word in WORDS] for text in texts], float)
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1
    tfidf = idf * (np.log(counts, where=counts > 0, out=np.full_like(counts, -1)) + 1)
    tfidf /= np.linalg.norm(tfidf, axis=1, keepdims=True)
    _, spread, axes = np.linalg.svd(tfidf, full_matrices=False)
    expected = idf[:, None] * axes[:3].T * spread[:3]

    vector_of = dict(zip(ids.tolist(), vectors, strict=True))
    assert len(ids) == len(WORDS)
    assert np.sqrt(np.mean(vectors**2)) == pytest.approx(0.03, rel=1e-4)
    found = np.array([vector_of[i] for i in ids_of(tokenizer, WORDS)]) / 0.03
    expected *= np.linalg.norm(found) / np.linalg.norm(expected)
    # Axes may point either way: what words have to do with each other does not depend on it.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def ids_of(tokenizer, words):
    return [int(tokenizer.transform([word])[0][0]) for word in words]


@pytest.mark.parametrize("texts", [["rocket moon tide"], ["rocket"] * 5, ["rocket moon"] * 9])
def test_few_documents_or_words_leave_columns_over(texts):
    tokens = TextTokenizer(min_frequency=1).fit(texts).transform(texts)
    _, vectors = latent_semantic_vectors(tokens, 8, seed=0)
    assert vectors.shape == (len(set(" ".join(texts).split())), 8)
    assert np.isfinite(vectors).all() and vectors[:, 0].all() and not vectors[:, 3:].any()


def test_what_may_be_any_word_is_none():
    tokenizer = TextTokenizer(model="word", min_frequency=1).fit(["rocket moon"])
    unknown = tokenizer.transform(["\u2603 \u2604"])
    ids = np.concatenate([unknown.ids, [unknown.special.unknown]])
    tokens = TokenArray(ids, [0, len(ids)], unknown.vocab_size, unknown.special)
    words, _ = latent_semantic_vectors(tokens, 4, seed=0)
    assert unknown.special.unknown not in words


def test_a_pretrainer_begins_with_them_and_leaves_other_words_as_they_are():
    texts, _ = documents(100)
    tokenizer = TextTokenizer(min_frequency=1).fit([*texts, "zeppelin"])
    begun = {"tokenizer": FrozenEstimator(tokenizer), "max_epochs": 0, "width": 3}
    starts = ("lsa", "random")
    lsa, random = (small_pretrainer(initial_words=s, **begun).fit(texts) for s in starts)
    assert lsa.history_ == [] and lsa.n_steps_ == 0
    words, vectors = latent_semantic_vectors(tokenizer.transform(texts), 3, seed=lsa.random_state)
    weights = [p.encoder_.embeddings.words.weight.detach().numpy() for p in (lsa, random)]
    found, vectors = weights[0][words] / 0.03, vectors / 0.03
    np.testing.assert_allclose(found @ found.T, vectors @ vectors.T, atol=1e-3)
    others = np.setdiff1d(np.arange(len(weights[0])), words)  # special tokens and the zeppelin
    assert ids_of(tokenizer, ["zeppelin"])[0] in others
    np.testing.assert_array_equal(weights[0][others], weights[1][others])


@pytest.mark.parametrize("objectives", [["masked_tokens"], ["segment_order"]])
def test_what_counts_as_a_document_does_not_depend_on_what_is_learned(objectives):
    texts = [" ".join(text) for text in zip(*[iter(documents(160)[0])] * 4, strict=True)]
    of_all, of_one = (
        small_pretrainer(initial_words="lsa", max_epochs=0, max_length=16, **given).fit(texts)
        for given in ({}, {"objectives": objectives})
    )
    words = [p.encoder_.embeddings.words.weight.detach().numpy() for p in (of_all, of_one)]
    np.testing.assert_array_equal(*words)


def test_one_word_of_each_subject_is_enough_then():
    """From nothing, or where all words move, the others of a subject stay unknown."""
    texts, _ = documents(400)
    others, expected = documents(200, seed=1)
    y, x = list(SUBJECTS) * 4, [words[0] for words in SUBJECTS.values()] * 4
    begun = FrozenEstimator(small_pretrainer(max_epochs=0, width=8).fit(texts))
    scores = {}
    for how in ({"pretrained": begun}, {"pretrained": begun, "freeze": None}, {"width": 8}):
        clf = FNetClassifier(**how, n_encoders=1, random_state=0, device="cpu")
        scores[str(how)] = clf.fit(x, y).score(others, expected)
    few, *rest = scores.values()
    assert few > 0.95 and max(rest) < 0.8, scores


def test_what_a_few_labels_are_for_is_not_drowned_at_first():
    """Positions and types say nothing yet."""
    texts, _ = documents(100)
    begun = small_pretrainer(max_epochs=0).fit(texts).encoder_.embeddings
    assert begun.words.weight.any(dim=1).all()
    assert not begun.positions.weight.any() and not begun.types.weight.any()


@pytest.mark.parametrize(
    ("how", "given"),
    [
        ({}, "lsa"),
        ({"architecture": "paper"}, "random"),
        ({"tokenizer": TextTokenizer(model="char")}, "random"),
    ],
)
def test_words_begin_so_and_other_tokens_at_random(how, given):
    texts, _ = documents(100)
    auto = small_pretrainer(max_epochs=0, **how).fit(texts)
    other = small_pretrainer(max_epochs=0, initial_words=given, **how).fit(texts)
    vectors = [p.encoder_.embeddings.words.weight.detach().numpy() for p in (auto, other)]
    np.testing.assert_array_equal(*vectors)


def test_learning_goes_on_from_there():
    texts, _ = documents(300)
    pretrainer = small_pretrainer(initial_words="lsa", max_epochs=8).fit(texts)
    losses = [row["valid_loss"] for row in pretrainer.history_]
    assert losses[-1] < losses[0]


def test_a_stream_begins_with_its_first_part(monkeypatch):
    texts, _ = documents(100)
    monkeypatch.setattr("skfnet.pretrainer._PART", 60)
    given = {"initial_words": "lsa", "learning_rate": 1e-9, "max_epochs": 0}
    stream = small_pretrainer(**given).partial_fit(iter(texts))
    begun = small_pretrainer(**given).fit(texts[:60])
    assert stream.n_steps_ == 4 + 3
    similar = [p.encoder_.embeddings.words.weight.detach().numpy() for p in (stream, begun)]
    np.testing.assert_allclose(*similar, atol=1e-4)


def test_a_start_alone_is_kept_and_resumed(tmp_path, monkeypatch):
    texts, _ = documents(100)
    pretrainer = small_pretrainer(
        initial_words="lsa", max_epochs=0, checkpoint=tmp_path, resume=True, verbose=1
    )
    first = pretrainer.fit(texts).transform(texts)
    monkeypatch.delattr("skfnet.pretrainer.latent_semantic_vectors")  # not needed a second time
    np.testing.assert_array_equal(pretrainer.fit(texts).transform(texts), first)
    pretrainer.save(tmp_path)
    loaded = FNetPretrainer.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(loaded.transform(texts), first)
    assert (loaded.initial_words, loaded.max_epochs) == ("lsa", 0)


def pairs_and_whether_of_one_subject(n):
    texts, names = documents(2 * n)
    return list(zip(texts[::2], texts[1::2], strict=True)), np.equal(names[::2], names[1::2])


@pytest.mark.parametrize("kind", [FNetClassifier, FNetRegressor])
def test_words_of_pairs_begin_so_and_stay_in_every_other_encoder(kind):
    """Without other texts."""
    pairs, y = pairs_and_whether_of_one_subject(100)
    quick = {"width": 3, "n_encoders": 3, "max_epochs": 2, "random_state": 0, "device": "cpu"}
    model = kind(tokenizer=TextTokenizer(min_frequency=1), **quick)
    tokens = TextTokenizer(min_frequency=1).fit(pairs).transform(pairs)
    words, vectors = latent_semantic_vectors(tokens, 3, seed=0)

    def begin_so_and_stay():
        embeddings = [e.embeddings for e in model.fit(pairs, y.astype(float)).encoders_]
        assert all(e.types.weight.any() for e in embeddings)  # they have learned
        found = [e.words.weight.detach().numpy()[words] for e in embeddings]
        return [np.allclose(of @ of.T, vectors @ vectors.T, atol=1e-6) for of in found]

    assert begin_so_and_stay() == [True, False, True]
    model.set_params(warm_start=True)
    assert begin_so_and_stay() == [True, False, True]
    model.set_params(freeze=None)
    assert begin_so_and_stay() == [False, False, False]
    model.set_params(warm_start=False, learning_rate=1e-9)
    assert begin_so_and_stay() == [False, False, False]
    model.set_params(freeze="auto")  # of those that hardly move
    assert begin_so_and_stay() == [True, False, True]
    model.set_params(n_encoders=1)
    assert begin_so_and_stay() == [True]


def test_words_of_pairs_that_began_otherwise_do_not_stay():
    pairs, y = pairs_and_whether_of_one_subject(100)
    quick = {"width": 4, "n_encoders": 1, "max_epochs": 2, "random_state": 0, "device": "cpu"}
    stream = FNetClassifier(**quick).partial_fit(pairs, y, classes=[False, True])
    moving = FNetClassifier(**quick, freeze=None).fit(pairs, y)
    of_pairs = FNetClassifier(**quick).fit(pairs, y)
    for clf in (stream, moving):
        before = clf.encoder_.embeddings.words.weight.detach().clone()
        clf.set_params(freeze="auto", warm_start=True).fit(pairs, y)
        assert not torch.equal(clf.encoder_.embeddings.words.weight, before)
    before = of_pairs.encoder_.embeddings.words.weight.detach().clone()
    assert not torch.equal(of_pairs.partial_fit(pairs, y).encoder_.embeddings.words.weight, before)


@pytest.mark.parametrize(
    "how", [{"architecture": "paper"}, {"tokenizer": TextTokenizer(model="char")}]
)
def test_other_tokens_of_pairs_begin_at_random_and_move(how):
    pairs, y = pairs_and_whether_of_one_subject(20)
    quick = {"width": 8, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    auto, moving = (
        FNetClassifier(**how, **quick, **f).fit(pairs, y) for f in ({}, {"freeze": None})
    )
    same = [
        torch.equal(one, other)
        for one, other in zip(auto._model.parameters(), moving._model.parameters(), strict=True)
    ]
    assert all(same)


def test_pairs_and_ids_have_words_too():
    texts, _ = documents(60)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    paired = small_pretrainer(initial_words="lsa", max_epochs=0).fit(pairs)
    assert paired.transform(pairs).shape == (30, 16)
    ids = [[1, 2, 3, 1], [2, 3, 1, 2], [4, 5, 6, 4], [5, 6, 4, 5]]
    of_ids = small_pretrainer(
        initial_words="lsa",
        max_epochs=0,
        tokenizer="precomputed",
        objectives=["segment_order"],
        width=2,
    ).fit(ids)
    words = of_ids.encoder_.embeddings.words.weight.detach().numpy()
    similar = words[1:7] @ words[1:7].T
    assert similar[0, 1] > 0 and abs(similar[0, 4]) < 1e-3 * similar[0, 1]
