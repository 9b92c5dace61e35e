"""Commands that are to end with one line."""

import pytest

from jaxpr.cli import main


def stopped(capsys, arguments: list[str]) -> str:
    """What a command says that ends with code 2: one line."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.count("\n") == 1, error
    return error
