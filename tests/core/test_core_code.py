"""Hashes of code."""

from jaxpr.core import code


def test_the_hash_of_code_is_that_of_the_wheel(tmp_path, monkeypatch):
    """A wheel carries the scripts in a folder of the package; they have a hash of their own."""
    package, scripts = tmp_path / "jaxpr", tmp_path / "jaxpr" / "_experiments"
    scripts.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(code.jaxpr, "__file__", str(package / "__init__.py"))
    hashed = code.code_sha256.__wrapped__
    before = hashed()
    (scripts / "script.py").write_text("import helper\nfrom jax import numpy\n")
    assert hashed() == before
    (package / "more.py").write_text("x = 1\n")
    assert hashed() != before
    one = code.script_sha256(scripts / "script.py")
    (scripts / "unused.py").write_text("")
    assert code.script_sha256(scripts / "script.py") == one
    (scripts / "helper.py").write_text("")
    assert code.script_sha256(scripts / "script.py") != one
