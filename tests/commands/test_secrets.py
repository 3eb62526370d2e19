"""Secrets among the settings reach whoever is made from them, and no file and no service."""

import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ltb import measure
from ltb.run.secrets import MASK, Secrets, check_given
from ltb.training import Training
from tests.support.command import TINY, folders, ledger, status

SECRETS = {"HF_TOKEN": "hf_0123456789abcdef", "DB_PASSWORD": "correct horse battery", "MY_API_KEY": "k3y"}
MODULE = '''
from dataclasses import dataclass
import torch
from ltb.data.dataset import InMemory

SEEN = []


@dataclass(frozen=True, kw_only=True)
class Private(InMemory):
    """Data behind a token."""

    SHAPE, CLASSES, EXAMPLES = (4,), 2, (60, 20)
    token: str
    url: str
    account: str

    def read(self):
        SEEN.append((self.token, self.url, self.account))
        x, y = torch.linspace(-1, 1, 320).reshape(80, 4), torch.arange(80) % 2
        return (x[:60], y[:60]), (x[60:], y[60:])
'''
DATA = """
_target_: private.Private
shape: [4]
classes: 2
batch_size: ${protocol.batch_size}
val_size: 20
token: ${oc.env:HF_TOKEN}
url: "https://user:${oc.env:DB_PASSWORD}@host"
account: ${oc.env:MY_API_KEY}
"""
OWN = ("--config-dir", "own", *(text for text in TINY if not text.startswith("data")), "data=private", "method=dense")


@pytest.fixture
def private(command, monkeypatch):
    """The command beside a data set of the user's own that needs secrets, which are in the environment."""
    own = command.folder / "own"
    (own / "data").mkdir(parents=True)
    (own / "private.py").write_text(MODULE)
    (own / "data" / "private.yaml").write_text(DATA)
    monkeypatch.delitem(sys.modules, "private", raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    yield command
    sys.modules.pop("private", None)


def holding(folder, secret):
    """The files below a folder, and the names, that a secret is in."""
    return [
        path
        for path in folder.rglob("*")
        if secret in path.name or (path.is_file() and secret.encode() in path.read_bytes())
    ]


def ask(command, monkeypatch, capsys, *arguments):
    with monkeypatch.context() as patch:
        patch.chdir(command.folder)
        code = measure.main([*map(str, arguments)])
    return code, capsys.readouterr()


@pytest.mark.slow
def test_the_run_gets_the_true_values_and_nothing_that_it_writes_holds_them(private, monkeypatch, capsys):
    # What W&B writes offline is all that it would send.
    given = [*(text for text in OWN if text != "logger=none"), "logger=wandb", "logger.mode=offline"]
    folder = private.done(*given, "study='${oc.env:DB_PASSWORD}'", "logger.tags=['${oc.env:HF_TOKEN}']")
    url = f"https://user:{SECRETS['DB_PASSWORD']}@host"
    assert set(sys.modules["private"].SEEN) == {(SECRETS["HF_TOKEN"], url, SECRETS["MY_API_KEY"])}
    for secret in ("hf_0123456789abcdef", "correct horse battery", "correct%20horse"):
        assert holding(private.runs, secret) == []
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert {name: config["data"][name] for name in ("token", "url", "account")} == {
        "token": MASK, "url": f"https://user:{MASK}@host", "account": MASK,
    }  # fmt: skip
    assert config["study"] == MASK
    assert config["data"]["batch_size"] == 10
    assert {row["study"] for row in ledger(folder)} == {MASK}
    assert MASK in (folder / "identity.json").read_text()

    code, shown = ask(private, monkeypatch, capsys, folder, "measure=calibration")
    assert code == 1
    (line,) = shown.err.splitlines()
    assert line.startswith(f"ltb: {folder.name}: data.token={MASK}: a secret is not kept and must be given again")
    # As that line says: the same command, with a measure, trains nothing again.
    trained = {path: path.read_bytes() for path in folder.glob("trained/*")}
    assert private(*OWN, "measure=[calibration]", "study='${oc.env:DB_PASSWORD}'").code == 0
    assert "calibration" in (folder / "measures.csv").read_text()
    assert {path: path.read_bytes() for path in folder.glob("trained/*")} == trained


def test_other_secrets_are_other_runs_which_are_told_apart(private, monkeypatch):
    one = private.done(*OWN)
    monkeypatch.setenv("HF_TOKEN", "hf_another_0123456789")
    two = private.done(*OWN)
    assert one != two
    assert (one / "config.yaml").read_bytes() == (two / "config.yaml").read_bytes()
    assert (one / "identity.json").read_bytes() != (two / "identity.json").read_bytes()
    assert ledger(one)[0]["stage"] != ledger(two)[0]["stage"]


def test_a_secret_that_is_typed_or_in_an_error_is_masked_in_the_status(private, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    folder = private.done(*OWN, "data.token=typed-0123456789")
    assert holding(private.runs, "typed-0123456789") == []
    assert f"data.token={MASK}" in status(folder)["command"]
    fit = "ltb.training.fit.Training.fit"
    monkeypatch.setattr(fit, lambda *_, **__: (_ for _ in ()).throw(ValueError("401 for typed-9876543210")))
    assert private(*OWN, "data.token=typed-9876543210").code == 1
    assert holding(private.runs, "typed-9876543210") == []
    assert {status(each)["error"] for each in folders(private.runs)} == {None, f"ValueError: 401 for {MASK}"}


@pytest.mark.slow
def test_a_secret_that_is_typed_is_in_no_file_of_a_sweep_while_it_goes_on_or_after(private, monkeypatch):
    found, fit = [], Training.fit

    def looked(self, *given, **named):
        found.append(holding(private.folder, "typed-0123456789"))
        return fit(self, *given, **named)

    monkeypatch.setattr(Training, "fit", looked)
    assert private("-m", *OWN, "data.token=typed-0123456789", "seed=0,1").code == 0
    assert found
    assert not any(found)
    assert holding(private.folder, "typed-0123456789") == []


def test_a_run_with_a_secret_that_decides_nothing_is_measured(command, monkeypatch, capsys):
    monkeypatch.setenv("MY_SECRET", "s3cr3t-0123456789")
    folder = command.done(*TINY, "method=dense", "study='${oc.env:MY_SECRET}'")
    assert holding(command.runs, "s3cr3t-0123456789") == []
    assert ask(command, monkeypatch, capsys, folder, "measure=calibration")[0] == 0


KEYS = [
    "token",
    "hf_token",
    "hfToken",
    "api_key",
    "API-KEY",
    "apikey",
    "db.password",
    "passwd",
    "client_secret",
    "credentials",
]
PLAIN = ["max_tokens", "token_dropout", "tokenizer", "keys", "key", "monkey", "author", "batch_size", "pad_token_id"]
TEXTS = st.text("abcdefghij0123456789/:@ ", min_size=1, max_size=30)


@given(
    secret=st.text("XYZ", min_size=8, max_size=20),
    around=TEXTS,
    key=st.sampled_from(KEYS),
    plain=st.sampled_from(PLAIN),
)
def test_a_secret_is_masked_by_its_name_and_where_its_value_is_and_nothing_else_is(secret, around, key, plain):
    config = {
        "data": {key: secret, "of": [{"url": around + secret + around}], plain: around},
        "n": 3,
        "f": None,
        "b": True,
    }
    secrets = Secrets.of(config)
    expected = {
        "data": {key: MASK, "of": [{"url": around + MASK + around}], plain: around},
        "n": 3,
        "f": None,
        "b": True,
    }
    assert secrets.mask(config) == expected
    assert secrets.mask(secrets.mask(config)) == expected
    apart = secrets.mask(config, distinct=True)
    assert secret not in str(apart)
    assert apart["data"][key].startswith(MASK)
    assert apart != secrets.mask({**config, "data": {**config["data"], key: secret + "X"}}, distinct=True)
    assert secrets.arguments([f"data.{key}={secret}", f"+data.{key}=${{oc.env:X}}", f"{plain}={around}", "-m"]) == [
        f"data.{key}={MASK}", f"+data.{key}=${{oc.env:X}}", f"{plain}={around}", "-m",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"^data\.[^\n]*=\*\*\*: a secret is not kept[^\n]*$"):
        check_given(expected)
    check_given({**config, "data": {plain: around}, "study": MASK})


@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.lists(TEXTS)
    | st.dictionaries(TEXTS, TEXTS)
)
def test_all_that_is_under_a_secret_name_is_masked_whatever_it_is(value):
    found = Secrets.of({}).mask({"credentials": value})["credentials"]
    leaves = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    assert all(leaf in (MASK, None, True, False) for leaf in leaves)
    assert type(found) is type(value) or found == MASK
