"""What is written into a stage of how it was made."""

import subprocess

import pytest
import torch

from ltb.run import provenance

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _fresh():
    provenance.commit.cache_clear()
    provenance.own_commit.cache_clear()
    yield
    provenance.commit.cache_clear()
    provenance.own_commit.cache_clear()


def repository(folder):
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for arguments in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    made = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return made.stdout


def test_the_users_commit_and_that_of_a_checkout_of_ltb_are_two(tmp_path, monkeypatch):
    theirs, ours = repository(tmp_path / "theirs"), repository(tmp_path / "ours")
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.setattr(provenance, "OWN", tmp_path / "ours")
    (tmp_path / "ours" / "__init__.py").write_text("changed = 1\n")
    found = provenance.made(CPU, "", {})
    assert theirs.startswith(found["commit"])
    assert found["ltb_commit"].endswith("+")
    assert ours.startswith(found["ltb_commit"].rstrip("+"))


def test_an_installed_ltb_has_no_commit_whatever_it_is_installed_in(tmp_path, monkeypatch):
    repository(tmp_path / "theirs")
    packages = tmp_path / "theirs" / "site-packages"
    packages.mkdir()
    (packages / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "OWN", packages)
    assert provenance.own_commit() is None


@pytest.mark.parametrize("given", [True, "warn", None, False])
def test_determinism_is_what_the_trainer_is_told(given):
    machine = provenance.made(CPU, "", {"deterministic": given})["machine"]
    assert machine["deterministic"] == (given or False)
    assert machine["matmul_precision"] == torch.get_float32_matmul_precision()


def test_how_a_machine_is_told_to_compute_is_in_no_key():
    assert set(provenance.machine(CPU)) == {"device", "cpu", "threads"}


def test_levels_that_were_made_alike_are_joined():
    one, other = {"commit": "a", "machine": {"cpu": "x"}}, {"commit": "b", "machine": {"cpu": "x"}}
    assert provenance.joined([one, other, one]) == [{**one, "levels": [0, 2]}, {**other, "levels": [1]}]
