"""The command line, through main() and as a process."""

import csv
import gzip
import io
import json
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch

from skfnet import datasets
from skfnet.__main__ import main

TINY = ["--depth", "1", "--width", "16", "--max-epochs", "1", "--device", "cpu", "--quiet"]
ROWS = [
    (label, f"{text} number {i}")
    for i in range(10)
    for label, text in [("pos", "a fine, warm film"), ("neg", "dull and far too long")]
]


def write_csv(path, rows, header=("label", "text")):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def read_csv(text):
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a table of labelled texts and a model trained on it."""
    folder = tmp_path_factory.mktemp("command_line")
    table = write_csv(folder / "reviews.csv", ROWS)
    assert main(["train", table, "--model", str(folder / "m.joblib"), *TINY]) == 0
    return folder


@pytest.fixture
def model(folder):
    return str(folder / "m.joblib")


@pytest.fixture
def table(folder):
    return str(folder / "reviews.csv")


def test_without_arguments_help_is_printed(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "usage: python -m skfnet" in out
    for command in ("train", "predict", "evaluate", "demo"):
        assert f"\n    {command} " in out


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "demo"])
def test_help_shows_an_example(capsys, command):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Example:\n  python -m skfnet {command}" in out
    assert ("load only files you trust" in out) == (command in ("predict", "evaluate"))


def test_train_reports_on_held_out_rows_and_saves_a_model_of_all(tmp_path, capsys, table):
    out = tmp_path / "m.joblib"
    assert main(["train", table, "--model", str(out), "--test-size", "0.3", *TINY]) == 0
    printed = capsys.readouterr().out
    assert "20 documents, 2 classes: pos 10, neg 10" in printed
    assert "6 documents the model has not seen" in printed
    assert "precision" in printed
    assert "accuracy" in printed
    assert "trained anew on all documents" in printed
    assert list(tmp_path.iterdir()) == [out]  # nothing half-written is left
    loaded = joblib.load(out)
    assert list(loaded.classes_) == ["neg", "pos"]
    assert loaded.get_params()["width"] == 16


def test_options_decide_what_is_reported_and_saved(tmp_path, capsys, table):
    models = {}
    for name, options in {
        "all": ["--test-size", "0"],
        "refit": [],
        "part": ["--no-refit"],
    }.items():
        out = tmp_path / f"{name}.joblib"
        assert main(["train", table, "--model", str(out), *options, *TINY]) == 0
        printed = capsys.readouterr().out
        assert ("precision" in printed) == (name != "all")
        assert ("trained anew" in printed) == (name == "refit")
        models[name] = joblib.load(out).predict_proba([text for _, text in ROWS])
    # The hold-out leaves no trace in a model that is trained anew.
    np.testing.assert_array_equal(models["all"], models["refit"])
    assert not np.array_equal(models["all"], models["part"])


def test_columns_can_be_named_and_jsonl_keeps_its_labels(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    rows = [{"stars": 5 if label == "pos" else 1, "review": text} for label, text in ROWS]
    path.write_text("\n".join(map(json.dumps, rows)))
    out = str(tmp_path / "m.joblib")
    columns = ["--text", "review", "--label", "stars"]
    assert main(["train", str(path), "--model", out, *columns, "--test-size", "0", *TINY]) == 0
    assert joblib.load(out).classes_.tolist() == [1, 5]
    # A CSV file has the same labels as text.
    table = write_csv(tmp_path / "a.csv", [("5", "fine"), ("5", "dull")])
    capsys.readouterr()
    assert main(["evaluate", table, "--model", out]) == 0
    predicted = joblib.load(out).predict(["fine", "dull"])
    assert f"accuracy {np.mean(predicted == 5):.4f}" in capsys.readouterr().out


def test_a_class_with_one_document_is_trained_on_and_told(tmp_path, capsys):
    table = write_csv(tmp_path / "a.csv", [*ROWS, ("rare", "so so")])
    out = str(tmp_path / "m.joblib")
    assert main(["train", table, "--model", out, "--no-refit", *TINY]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "1 of 3 classes have a single document" in captured.err
    assert "rare" in captured.err
    assert list(joblib.load(out).classes_) == ["neg", "pos", "rare"]


def test_predict_prints_a_row_a_document_in_order(capsys, model, table):
    assert main(["predict", table, "--model", model]) == 0
    rows = read_csv(capsys.readouterr().out)
    expected = joblib.load(model).predict([text for _, text in ROWS])
    assert rows == [["label"], *([label] for label in expected)]


def test_predict_writes_probabilities_to_a_file(tmp_path, capsys, model, table):
    out = tmp_path / "labels.csv"
    assert main(["predict", table, "--model", model, "--proba", "--output", str(out)]) == 0
    assert capsys.readouterr().out == ""
    header, *rows = read_csv(out.read_text(encoding="utf-8"))
    assert header == ["label", "probability_neg", "probability_pos"]
    expected = joblib.load(model).predict_proba([text for _, text in ROWS])
    np.testing.assert_allclose([[float(p) for p in row[1:]] for row in rows], expected, atol=1e-6)
    assert [row[0] for row in rows] == [["neg", "pos"][p.argmax()] for p in expected]


def test_predict_reads_lines_of_text(tmp_path, capsys, monkeypatch, model):
    lines = "a fine film\n\n日本語 🙂\n"
    (tmp_path / "new.txt").write_text(lines, encoding="utf-8")
    assert main(["predict", str(tmp_path / "new.txt"), "--model", model, "--proba"]) == 0
    from_file = capsys.readouterr().out
    assert len(read_csv(from_file)) == 4
    (tmp_path / "new.txt.gz").write_bytes(gzip.compress(lines.encode()))
    assert main(["predict", str(tmp_path / "new.txt.gz"), "--model", model, "--proba"]) == 0
    assert capsys.readouterr().out == from_file
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main(["predict", "-", "--model", model, "--proba"]) == 0
    assert capsys.readouterr().out == from_file


def test_an_interrupted_training_leaves_the_old_file(tmp_path, table, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "m.joblib"
    out.write_bytes(b"an older model")
    monkeypatch.setattr("skfnet.training.TextNet.train_step_single", interrupted)
    assert main(["train", table, "--model", str(out), *TINY]) == 130
    assert out.read_bytes() == b"an older model"


def test_evaluate_prints_report_and_accuracy(capsys, model, table):
    assert main(["evaluate", table, "--model", model]) == 0
    out = capsys.readouterr().out
    labels, texts = zip(*ROWS, strict=True)
    assert f"accuracy {accuracy_score(labels, joblib.load(model).predict(texts)):.4f}" in out
    assert "precision" in out
    assert "macro avg" in out


def test_demo_compares_on_the_same_split(capsys, monkeypatch):
    labels, texts = zip(*ROWS, strict=True)
    corpus = Bunch(
        train_texts=list(texts[:14]),
        train_labels=list(labels[:14]),
        test_texts=list(texts[14:]),
        test_labels=list(labels[14:]),
        target_names=["neg", "pos"],
    )
    monkeypatch.setattr(datasets, "load_docstrings", lambda: corpus)
    assert main(["demo", *TINY]) == 0
    out = capsys.readouterr().out
    assert "14 to train on, 6 to test on: neg, pos" in out
    assert "precision" in out
    assert out.count("far too long number") + out.count("warm film number") == 6
    table = out[out.index("fit seconds") :]
    assert "FNetClassifier" in table
    assert "TF-IDF + LogisticRegression     1.000" in table


def one_error(capsys, arguments):
    """Run a command that must fail; give back what it says."""
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("skfnet: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "{table}"], "required: --model (see python -m skfnet train --help)"),
        (["train", "{table}", "--model", "{out}", "--depth", "deep"], "--depth: invalid int"),
        (["train", "none.csv", "--model", "{out}"], "none.csv: no such file"),
        (["train", "{table}", "--model", "{out}", "--text", "txt"], "Did you mean 'text'?"),
        (["train", "{table}", "--model", "{out}", "--label", "y"], "There are: 'label', 'text'"),
        (["train", "none.csv", "--model", "{folder}/no/m"], "create it first"),
        (["train", "none.csv", "--model", "{folder}"], "is a folder; name a file in it"),
        (["train", "{table}", "--model", "{out}", "--test-size", "1"], "--test-size must be"),
        (["train", "{table}", "--model", "{out}", "--test-size", "0.01"], "Choose another --test"),
        (["train", "{table}", "--model", "{out}", "--depth", "-1"], "depth"),
        (["predict", "{table}", "--model", "none.joblib"], "none.joblib: no such model file"),
        (["predict", "{table}", "--model", "{table}"], "reviews.csv: is no model written by"),
        (["predict", "{table}", "--model", "{folder}/dict"], "holds a dict, no classifier"),
        (["predict", "{table}", "--model", "{folder}/linear"], "a LinearRegression, no classifier"),
        (["predict", "{table}", "--model", "{folder}/class"], "holds a type, no classifier"),
        (["predict", "{table}", "--model", "{folder}/unfitted"], "not fitted"),
        (["predict", "{table}", "--model", "{folder}/svc", "--proba"], "drop --proba"),
        (["predict", "none.txt", "--model", "{model}"], "none.txt: no such file"),
        (["predict", "{table}", "--model", "{model}", "--output", "no/a.csv"], "create it first"),
        (["evaluate", "{table}", "--model", "{model}", "--label", "text"], "knows none of the"),
        (["evaluate", "{table}", "--model", "{model}", "--text", "Text"], "mean 'text'?"),
    ],
)
def test_an_error_is_one_line(capsys, tmp_path, folder, model, table, arguments, message):
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.svm import LinearSVC

    for name, thing in {
        "dict": {"a": 1},
        "linear": LinearRegression(),
        "class": LogisticRegression,
        "unfitted": LogisticRegression(),
        "svc": LinearSVC(),
    }.items():
        joblib.dump(thing, tmp_path / name)
    out = tmp_path / "out.joblib"
    places = {"table": table, "out": out, "folder": tmp_path, "model": model}
    err = one_error(capsys, [argument.format(**places) for argument in arguments])
    assert message in err
    assert not out.exists()


def test_errors_of_the_reader_and_of_fit_are_one_line(tmp_path, capsys):
    out = str(tmp_path / "m.joblib")
    broken = tmp_path / "broken.csv"
    broken.write_text("label,text\npos,fine\nneg,dull,long\n")
    assert f"{broken}, line 3: 3 fields" in one_error(
        capsys, ["train", str(broken), "--model", out]
    )
    one_class = write_csv(tmp_path / "one.csv", [row for row in ROWS if row[0] == "pos"])
    assert "class" in one_error(capsys, ["train", one_class, "--model", out, *TINY])


def test_no_permission_is_told_before_training(tmp_path, capsys, monkeypatch, table):
    monkeypatch.setattr("skfnet.commands.os.access", lambda *_: False)
    out = tmp_path / "m.joblib"
    assert "no permission" in one_error(capsys, ["train", table, "--model", str(out)])


def test_a_failed_save_leaves_the_old_model(tmp_path, capsys, monkeypatch, table):
    def half(model, file):
        file.write(b"half")
        raise OSError("No space left on device")

    out = tmp_path / "m.joblib"
    out.write_bytes(b"the old model")
    monkeypatch.setattr(joblib, "dump", half)
    err = one_error(capsys, ["train", table, "--model", str(out), "--test-size", "0", *TINY])
    assert "No space left" in err
    assert out.read_bytes() == b"the old model"
    assert list(tmp_path.iterdir()) == [out]


def test_as_a_process_reading_a_pipe(model):
    done = subprocess.run(
        [sys.executable, "-m", "skfnet", "predict", "-", "--model", model],
        input=b"a fine film\ndull and long\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = joblib.load(model).predict(["a fine film", "dull and long"])
    assert done.stdout.decode().split() == ["label", *expected]


def test_a_reader_that_stops_early_gets_no_traceback(tmp_path, model):
    many = tmp_path / "many.txt"
    many.write_text("fine\n" * 20_000)
    with subprocess.Popen(
        [sys.executable, "-m", "skfnet", "predict", str(many), "--model", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait() == 1
