"""Latent semantic analysis as the words' first vectors."""

import numpy as np
import pytest
from samples import small_pretrainer
from sklearn.frozen import FrozenEstimator

from skfnet import FNetClassifier, TextTokenizer
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
    vectors = latent_semantic_vectors(tokenizer.transform(texts), 3, seed=0)

    counts = np.array([[text.split().count(word) for word in WORDS] for text in texts], float)
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1
    damped = np.log(counts, where=counts > 0, out=np.full_like(counts, -1)) + 1
    tfidf = damped * idf
    tfidf /= np.linalg.norm(tfidf, axis=1, keepdims=True)
    _, spread, axes = np.linalg.svd(tfidf, full_matrices=False)
    expected = idf[:, None] * axes[:3].T * spread[:3]

    found = vectors[[tokenizer.transform([word])[0][0] for word in WORDS]]
    assert np.sqrt(np.mean(vectors**2)) == pytest.approx(0.3)
    expected *= np.linalg.norm(found) / np.linalg.norm(expected)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)


def test_a_pretrainer_begins_with_them_and_leaves_other_words_as_they_are():
    texts, _ = documents(100)
    tokenizer = TextTokenizer(min_frequency=1).fit([*texts, "zeppelin"])
    begun = {"tokenizer": FrozenEstimator(tokenizer), "max_epochs": 0, "validation_fraction": 0}
    lsa, random = (
        small_pretrainer(initial_words=name, width=3, **begun).fit(texts)
        for name in ("lsa", "random")
    )
    assert lsa.history_ == [] and lsa.n_steps_ == 0
    weights = [p.encoder_.embeddings.words.weight.detach().numpy() for p in (lsa, random)]
    there = [tokenizer.transform([word])[0][0] for word in WORDS]
    (absent,) = tokenizer.transform(["zeppelin"])[0]
    np.testing.assert_array_equal(weights[0][absent], weights[1][absent])
    assert np.all(np.any(weights[0][there] != weights[1][there], axis=1))
    similar = weights[0][there] @ weights[0][there].T
    same = np.kron(np.eye(3, dtype=bool), np.ones((6, 6), dtype=bool))
    assert similar[same].min() > similar[~same].max()


def test_a_few_labels_are_enough_then():
    texts, _ = documents(400)
    others, expected = documents(200, seed=1)
    labelled = {name: " ".join(words[:2]) for name, words in SUBJECTS.items()}
    y, x = list(labelled) * 4, list(labelled.values()) * 4
    scores = {}
    for start in ("lsa", "random"):
        pretrainer = small_pretrainer(initial_words=start, max_epochs=0, width=8)
        clf = FNetClassifier(pretrained=pretrainer, n_encoders=1, random_state=0, device="cpu")
        scores[start] = clf.fit(x, y, unlabeled=texts).score(others, expected)
    assert scores["lsa"] > 0.9 > scores["random"], scores


def test_a_stream_begins_with_those_of_its_first_part():
    texts, _ = documents(100)
    pretrainer = small_pretrainer(initial_words="lsa", learning_rate=1e-9).partial_fit(texts)
    begun = small_pretrainer(initial_words="lsa", max_epochs=0, validation_fraction=0).fit(texts)
    np.testing.assert_allclose(
        pretrainer.transform(texts), begun.transform(texts), rtol=1e-3, atol=1e-4
    )
