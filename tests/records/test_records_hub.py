"""YAML for model hubs: read back by PyYAML, with the fields that the format requires."""

import json
import math

import pytest
import yaml

from jaxpr.core import InputError
from jaxpr.records.hub import hub_yaml, model_index

PROTOCOL = {"data": "photos", "degradation": "bicubic-x4", "alpha": 1e-05, "key": [0, 3], "no": None, "crop": 96}
METRICS = {
    "rmse": {"value": 0.1, "stderr": 0.01},
    "psnr": {"value": 20.0, "stderr": None},
    "lr_psnr": {"value": None, "stderr": None, "note": "infinite for 1 of 1 examples"},
    "adversarial_input_psnr": {"value": 48.0, "stderr": 0.1},
    "fd_alexnet": {"value": 1e-7, "stderr": 1e20},
}
RECORD = {"protocol": PROTOCOL, "provenance": {"jaxpr": "1.0"}, "restorers": [{"name": "mine", "metrics": METRICS}]}


def test_the_block_has_the_fields_of_the_format():
    index = model_index(RECORD, restorer="mine", url="https://example.org/x")
    assert yaml.safe_load(hub_yaml(index)) == index
    (model,) = index["model-index"]
    (result,) = model["results"]
    assert model["name"] == "mine"
    assert result["task"] == {"type": "image-to-image", "name": "Image restoration (bicubic-x4)"}
    assert result["dataset"] == {"type": "photos", "name": "photos", "args": PROTOCOL}
    assert result["source"] == {"name": "jaxpr 1.0", "url": "https://example.org/x"}
    # Shown as the report shows them; what is infinite, or neither good nor bad, is left out.
    assert result["metrics"] == [
        {"type": "rmse", "name": "RMSE (grey levels)", "value": 25.5, "args": {"standard_error": pytest.approx(2.55)}},
        {"type": "psnr", "name": "PSNR (dB)", "value": 20.0},
        {"type": "fd_alexnet", "name": "FD (AlexNet)", "value": 1e-7, "args": {"standard_error": 1e20}},
    ]
    assert "source" not in model_index(RECORD, restorer="mine")["model-index"][0]["results"][0]
    with pytest.raises(InputError, match="restorer: found 'other'"):
        model_index(RECORD, restorer="other")


TEXTS = (
    "",
    " a ",
    "no",
    "1e-05",
    "- a",
    "a: b #c",
    "'\"\\",
    "日本語 😀",
    "~",
    "{x}",
    "*a",
    "é\u00a0",
    "---",
    "%",
    "@",
    "|",
)
TREES = [
    *({"key": text} for text in TEXTS),
    *({text or "k": 1} for text in TEXTS if text.isprintable()),
    *({"n": n} for n in (0, -3, 10**30, 0.0, -1e-300, 1e22, 123456.789, 5e-324, True, False, None)),
    {"a": [], "b": {}, "c": [[1, 2], [], [{"d": [None, {"e": "f"}]}]], "on": {"y": {"yes": "NO"}}},
]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: ascii(json.dumps(tree))[:40])
def test_what_is_written_is_read_back(tree):
    expected = json.loads(json.dumps(tree).replace("\\u00a0", "\\\\xa0"))  # not printable, so it is escaped
    found = yaml.safe_load(hub_yaml(tree))
    assert found == expected
    assert repr(found) == repr(expected)


def test_text_that_yaml_forbids_is_escaped_and_stays_on_its_line():
    text = hub_yaml({"a": "\x1b[2J\x00\u2028\x85\ud800\n- b", "c\n": 1}).decode()
    assert len(text.splitlines()) == 2
    assert yaml.safe_load(text) == {"a": r"\x1b[2J\x00\u2028\x85\ud800\x0a- b", r"c\x0a": 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"bytes"])
def test_other_values_are_refused(value):
    with pytest.raises(InputError, match="expected text, a finite number"):
        hub_yaml({"a": [value]})
