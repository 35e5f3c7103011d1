"""Fixtures that several test files share."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from samples import SCRIPTS, generated_reviews, read_rows, small_classifier

from skfnet.datasets import load_docstrings

settings.register_profile("skfnet", deadline=None, derandomize=True, database=None)
settings.load_profile("skfnet")


@pytest.fixture(scope="session")
def reviews():
    """Give generated documents and their topics: 150 to train on, 60 others."""
    texts, topics = generated_reviews(210)
    return texts[:150], np.array(topics[:150]), texts[150:], np.array(topics[150:])


@pytest.fixture(scope="session")
def scripts():
    """Give real sentences in many scripts."""
    return list(SCRIPTS.values())


@pytest.fixture(scope="session")
def fitted(reviews):
    """Train a classifier; tests leave it as it is."""
    texts, topics, _, _ = reviews
    return small_classifier().fit(texts, topics)


@pytest.fixture(scope="session")
def docstrings():
    """Load real text that every installation has."""
    return load_docstrings()


@pytest.fixture(scope="session")
def trec():
    """Give questions and what they ask for, and others, both of the training file."""
    texts, labels = read_rows("trec6", "train")
    return texts[:-500], labels[:-500], texts[-500:], labels[-500:]


@pytest.fixture
def open_folder():
    """Give a folder that anybody may read and write, unlike pytest's own; and those above it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
