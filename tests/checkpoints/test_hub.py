"""Where a model's files are found: in a folder, in the hub's cache, or nowhere, and why."""

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from published import TEXTS
from samples import small_classifier

from skfnet.checkpoints import read_huggingface
from skfnet.checkpoints.hub import ModelFiles

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/fnet-tiny"


def put_in_cache(cache, folder, leave_out=()):
    """Lay a folder out as huggingface_hub's cache does."""
    place = cache / f"models--{NAME.replace('/', '--')}"
    for part in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (place / part).mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(sorted(folder.iterdir())):
        if path.name not in leave_out:
            blob = place / "blobs" / f"{number:040x}"
            blob.write_bytes(path.read_bytes())
            (place / "snapshots" / COMMIT / path.name).symlink_to(f"../../blobs/{blob.name}")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Give a folder in the layout of transformers."""
    folder = tmp_path_factory.mktemp("model")
    clf = small_classifier(architecture="paper", n_encoders="auto", max_epochs=1)
    clf.fit(TEXTS[:2], ["good", "bad"]).to_huggingface(folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give an empty cache of a machine without a connection."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_model_in_the_cache_is_read_offline(model, cache):
    put_in_cache(cache, model)
    found, expected = read_huggingface(NAME), read_huggingface(model)
    assert found.config == expected.config
    assert all((found.encoder[name] == t).all() for name, t in expected.encoder.items())


def test_the_environment_variables_of_the_hub_are_respected(model, tmp_path):
    put_in_cache(tmp_path / "hub", model)
    code = (
        "from skfnet.checkpoints.hub import ModelFiles\n"
        f"print(ModelFiles({NAME!r}).require('model.safetensors'))"
    )
    root = str(Path(__file__).parents[2])
    settings = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": root}
    environment = {n: v for n, v in os.environ.items() if not n.startswith("HF_")} | settings
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(f"snapshots/{COMMIT}/model.safetensors")


def test_offline_and_not_in_the_cache_says_so(cache):
    with pytest.raises(ConnectionError, match=r"config.json is not in .*HF_HUB_OFFLINE.*hf down"):
        read_huggingface(NAME)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("config.json", "config.json is not in"),
        ("tokenizer.json", "tokenizer.json or spiece.model is not in"),
        ("model.safetensors", "model.safetensors or pytorch_model.bin is not in"),
    ],
)
def test_a_file_that_the_cache_lacks_is_named(model, cache, left_out, message):
    put_in_cache(cache, model, leave_out=[left_out])
    with pytest.raises(ConnectionError, match=message):
        read_huggingface(NAME)


def hub_that(monkeypatch, answer):
    """Let the hub's client answer in some way; give the names of the files asked for."""
    asked = []

    def hf_hub_download(repo_id, filename):
        assert repo_id == NAME
        asked.append(filename)
        return answer(filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return asked


def failing(error):
    def answer(filename):
        raise error

    return answer


def bare(kind):
    """Make an error of the client's without what its versions want it to be made of."""
    return kind.__new__(kind)


def test_nothing_is_downloaded_that_is_not_read(model, monkeypatch):
    asked = hub_that(monkeypatch, lambda name: model / name)
    (model / "special_tokens_map.json").write_text("{}")
    read_huggingface(NAME)
    assert sorted(asked) == sorted(
        [
            *("config.json", "special_tokens_map.json", "tokenizer_config.json"),
            *("tokenizer.json", "model.safetensors"),
        ]
    )


def test_a_file_that_the_hub_does_not_have_is_named(model, monkeypatch):
    def answer(name):
        if name in ("model.safetensors", "pytorch_model.bin"):
            raise bare(EntryNotFoundError)
        return model / name

    hub_that(monkeypatch, answer)
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors or pytorch_model.bin"):
        read_huggingface(NAME)


def test_no_connection_says_so(monkeypatch):
    hub_that(monkeypatch, failing(LocalEntryNotFoundError("no connection")))
    with pytest.raises(ConnectionError, match="the hub cannot be reached"):
        read_huggingface(NAME)


@pytest.mark.parametrize("kind", [RepositoryNotFoundError, GatedRepoError])
def test_a_model_that_the_hub_does_not_know_or_show(kind, monkeypatch):
    hub_that(monkeypatch, failing(bare(kind)))
    with pytest.raises(FileNotFoundError, match="no folder someone/fnet-tiny.*hf auth login"):
        read_huggingface(NAME)


def test_any_other_failure_names_the_file(monkeypatch):
    hub_that(monkeypatch, failing(RuntimeError("the line broke")))
    with pytest.raises(ConnectionError, match="config.json could not be .*the line broke"):
        read_huggingface(NAME)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where/at/all", "a/b/c", "", "no such name"])
def test_what_is_no_folder_and_no_name_is_refused(name):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        ModelFiles(name)


def test_a_path_means_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        ModelFiles(Path("someone/fnet-tiny"))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        ModelFiles(tmp_path / "file")
