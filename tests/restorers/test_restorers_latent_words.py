"""`+transport` behind a restorer's word: what it fits, shares, keeps and says, and words that are refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.commands import main
from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.restorers import Training, bicubic, build_restorers, latent_transport, load_transport
from jaxpr.restorers import latent_transport_words as words

DEGRADATION = parse_degradation("average-x2")
RANDOM = np.random.default_rng(0)
IMAGES = [np.kron(RANDOM.random((6, 7 + i, 3)), np.ones((4, 4, 1))).astype(np.float32) for i in range(4)]
Y = jnp.asarray(np.random.default_rng(9).random((2, 6, 5, 3), np.float32))


def build(*specs: str, images=IMAGES):
    training = Training(lambda: images, DEGRADATION, DEGRADATION, 3, 20, jax.random.key(0))
    return build_restorers(specs, training)


@pytest.mark.thorough
def test_it_is_fitted_on_the_training_images_and_shared_by_all_alphas(monkeypatch, tmp_path):
    fits = []
    monkeypatch.setattr(words, "fit_transport", lambda *a, fit=words.fit_transport, **o: fits.append(1) or fit(*a, **o))
    specs = ("bicubic+transport", "bicubic+transport:0.5", "bicubic+transport:-1")
    specs += ("t=bicubic+transport?patch=1&paired=no",)
    found = build(*specs, "bicubic+transport:0.5+project")
    assert len(fits) == 2
    x0, half, beyond, other, projected = found.values()
    assert x0.apply == half.apply == beyond.apply != other.apply
    plain = bicubic(Y, factor=2)
    assert np.abs(x0(Y) - plain).max() > 0.01
    np.testing.assert_allclose(half(Y), (x0(Y) + plain) / 2, atol=1e-5)
    np.testing.assert_allclose(beyond(Y), 2 * x0(Y) - plain, atol=1e-5)
    np.testing.assert_allclose(DEGRADATION.operator((12, 10, 3))(projected(Y)), Y, atol=1e-5)
    said = [(r.family, r.setting, r.variant, r.stochastic, r.differentiable, r.cost) for r in found.values()]
    assert said[1] == ("bicubic", 0.5, "transport", False, True, 0)
    assert said[4] == ("bicubic", 0.5, "transport+project", False, True, 0)
    # What a run keeps is the transport itself.
    record = half.weights["transport"]
    (tmp_path / record["file"]).write_bytes(half.kept[record["file"]])
    again = latent_transport(lambda x: x, load_transport(tmp_path / record["file"]), alpha=0.5, any_size=True)
    np.testing.assert_array_equal(again(plain), half(Y))
    assert record["alpha"] == 0.5
    assert (record["patch"], record["encoder"]) == (3, {"name": "pixels", "sha256": None})
    assert record["restored"]["images"] == record["natural"]["images"] == 4
    assert other.weights["transport"]["natural"]["images"] == 2
    assert json.loads(json.dumps(record)) == record


@pytest.mark.thorough
def test_any_restorer_can_be_inside(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import jax, numpy as np\n"
        "def host(y):\n    return np.repeat(np.repeat(np.array(y), 2, 1), 2, 2)\n"
        "def draw(key, y):\n    x = y.repeat(2, 1).repeat(2, 2)\n    return x + 0.1 * jax.random.normal(key, x.shape)\n"
    )
    found = build(f"host={path}:host+transport", f"draw={path}:draw+transport:0.2", "exemplar:0.1+transport")
    assert np.asarray(found["host"](np.asarray(Y))).shape == (2, 12, 10, 3)
    drawn = found["draw"].draws(jax.random.key(1), Y, count=2)
    assert np.abs(drawn[0] - drawn[1]).mean() > 0.05
    exemplar = found["exemplar:0.1+transport"]
    assert (exemplar.family, exemplar.setting, exemplar.variant) == ("exemplar 0.1", 0.0, "transport")


@pytest.mark.thorough
def test_one_word_for_several_alphas_which_share_fit_and_program(monkeypatch):
    fits = []
    monkeypatch.setattr(words, "fit_transport", lambda *a, fit=words.fit_transport, **o: fits.append(1) or fit(*a, **o))
    found = build("bicubic", "bicubic+transport:curve?patch=1", "few=bicubic+transport: .5,1?patch=1+project")
    curve = {name: r for name, r in found.items() if name.startswith("bicubic+")}
    texts = ("-1", "-0.5", "0", "0.25", "0.5", "0.75", "1", "1.5", "2")
    assert list(curve) == [f"bicubic+transport:{text}?patch=1" for text in texts]
    assert [r.setting for r in curve.values()] == [float(text) for text in texts]
    assert list(found)[-2:] == ["few:.5", "few:1"]
    assert [r.label for r in list(found.values())[-2:]] == [
        f"bicubic+transport:{a}?patch=1+project" for a in (".5", "1")
    ]
    assert len(fits) == 1
    assert {(r.family, r.variant) for r in curve.values()} == {("bicubic", "transport")}
    itself = curve.pop("bicubic+transport:1?patch=1")
    assert len({r.apply for r in curve.values()}) == 1
    assert itself.apply == found["bicubic"].apply  # alpha = 1 is the restorer, to the last bit
    np.testing.assert_array_equal(itself(Y), found["bicubic"](Y))
    nested = build("n=nearest+transport:0,1?patch=1+transport:0,2?patch=1")
    assert list(nested) == ["n:0:0", "n:0:2", "n:1:0", "n:1:2"]


def test_an_autoencoder_alone_is_an_ending():
    found = build("bicubic+autoencoded?encoder=pixels")["bicubic+autoencoded?encoder=pixels"]
    np.testing.assert_array_equal(found(Y), bicubic(Y, factor=2))
    assert (found.family, found.variant) == ("bicubic", "autoencoded")
    assert found.weights == {"autoencoder": {"name": "pixels", "sha256": None}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bicubic+transport:0,,1", "found alpha without a number, expected a number"),
        ("bicubic+transport:0,much", "found alpha much, expected a number"),
        ("bicubic+transport:0,0.5,0.0", "found alphas 0,0.5,0.0, expected each once"),
        ("bicubic+autoencoded", "found the options none, expected .encoder=NAME_OR_FILE"),
        ("bicubic+autoencoded?patch=3", "found the options patch=3, expected .encoder=NAME_OR_FILE"),
        ("bicubic+autoencoded?encoder=no/such/file", "no/such/file"),
        ("bicubic+transport:much", "found alpha much, expected a number"),
        ("bicubic+transport:nan", "found alpha nan, expected a number"),
        ("bicubic+transport?patch=2", "patch: found 2, expected an odd number"),
        ("bicubic+transport?patch=3&patch=5", "options: found 'patch=5', expected preset=..., encoder"),
        ("bicubic+transport?colour=no", "options: found 'colour=no'"),
        ("bicubic+transport?noise=maybe", "noise: found 'maybe', expected yes or no"),
        ("bicubic+transport?images=0", "images: found '0', expected a positive integer"),
        ("bicubic+transport?preset=best", "preset: found 'best', expected one of paper, code"),
        ("bicubic+transport?encoder=no/such/file", "no/such/file"),
        ("bicubic+transport?patch=17", r"restored: found 576 patches of 867 entries"),
        ("outputs:.+transport", "expected no ending behind outputs:FOLDER"),
    ],
)
def test_words_that_are_refused(spec, message):
    with pytest.raises(InputError, match=rf"^restorers: .*{message}"):
        build(spec)


@pytest.mark.thorough
def test_the_command_keeps_what_it_fitted(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(2):
            pixels = np.random.default_rng([number, len(split)]).integers(0, 256, (12, 12, 3), np.uint8)
            image = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC)
            image.save(tmp_path / split / f"{number}.png")
    options = ["--scale", "smoke", "--crop", "48", "--patch-size", "8", "--features", "pixels", "--no-progress"]
    data = ["--data", str(tmp_path / "test"), "--train", str(tmp_path / "train"), "--out", str(tmp_path / "run")]
    main(["evaluate", *data, *options, "--restorers", "bicubic", "bicubic+transport", "bicubic+transport:0.5"])
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    kept = {entry["weights"]["transport"]["file"] for entry in record["restorers"][1:]}
    assert len(kept) == 1
    assert load_transport(tmp_path / "run" / kept.pop()).restored.images == 2
    values = [entry["metrics"]["lipschitz_mean"]["value"] for entry in record["restorers"]]
    assert all(np.isfinite(value) for value in values)
