"""`jaxpr restorers`, and the same words in the help of `evaluate`."""

import pytest

from jaxpr.cli.commands import main
from jaxpr.restorers.words import words_table
from jaxpr.weights import PACKAGED_AUTOENCODERS, PACKAGED_DENOISERS, PACKAGED_RESTORERS


def test_every_word_and_every_packaged_restorer_is_listed(capsys):
    main(["restorers"])
    shown = capsys.readouterr().out
    assert all(part in shown for row in words_table() for part in row)
    assert all(f"  {name}\n" in shown for name in (*PACKAGED_RESTORERS, *PACKAGED_DENOISERS, *PACKAGED_AUTOENCODERS))


def test_the_help_of_evaluate_lists_the_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "5000")
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{word}: {means}" in shown for word, means in words_table())
