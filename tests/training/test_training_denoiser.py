"""Training of denoisers: the loss against its closed form, runs from recipe to file, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.diffusion import gaussian_denoiser, linear_schedule
from jaxpr.diffusion.denoiser import levels
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.functional import Model
from jaxpr.training import AdamW, DenoiserCrops, DenoiserRecipe, drive, load_recipes, task_of
from jaxpr.training.denoiser import denoising_loss
from jaxpr.weights.denoisers import read_denoiser

SCHEDULE = linear_schedule()
SMALL = ADMUNetConfig(
    in_channels=1,
    out_channels=1,
    model_channels=32,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 1),
    num_head_channels=32,
)


def recipe(**changes):
    given = {
        "name": "small",
        "data": DenoiserCrops(source="digits", size=8),
        "network": SMALL,
        "optimizer": AdamW(steps=4, batch=4, rate=1e-3, average=0.5),
    }
    return DenoiserRecipe(**(given | changes))


@pytest.mark.parametrize("t", [20, 300, 900])
def test_the_loss_of_the_best_denoiser_is_the_variance_of_the_noise_given_the_noisy_image(t):
    count, variance = 4096, 0.3
    denoiser = gaussian_denoiser(mean=np.zeros((4, 4, 1)), variance=np.full((4, 4, 1), variance), schedule=SCHEDULE)
    best = Model(lambda key: {}, lambda params, x, t: denoiser(x, t).eps)
    x = np.sqrt(variance).astype(np.float32) * jax.random.normal(jax.random.key(0), (count, 4, 4, 1))
    keys = jax.random.split(jax.random.key(1), count)
    found = denoising_loss(keys, best, {}, x, jnp.full(count, t, jnp.int32), schedule=SCHEDULE)
    signal, spread = (float(level.ravel()[0]) for level in levels(SCHEDULE, x[:1], jnp.int32(t)))
    expected = signal**2 * variance / (signal**2 * variance + spread**2)
    # 65,536 squares of normal numbers: 0.55 % of standard error.
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize("t", [20, 300, 999])
def test_the_loss_of_v_is_that_of_the_noise_over_the_share_of_the_signal(t):
    """The difference of two v is that of the noises over √ᾱ: whatever is predicted from one image."""
    keys = jax.random.split(jax.random.key(1), 4)
    x, times = jax.random.normal(jax.random.key(0), (4, 4, 4, 1)), jnp.full(4, t, jnp.int32)
    signal, spread = levels(SCHEDULE, x[:1], jnp.int32(t))

    def v(params, x, t):
        return 0.3 * x**2 - 0.1

    def noise(params, x, t):
        return spread * x + signal * v(params, x, t)

    of_v, of_noise = (
        denoising_loss(keys, Model(dict, apply), {}, x, times, schedule=SCHEDULE, prediction=prediction)
        for prediction, apply in (("v", v), ("noise", noise))
    )
    # At t = 999 errors of the noise are 0.006 times those of v, so their rounding counts 157 times.
    np.testing.assert_allclose(of_v, of_noise / signal.ravel()[0] ** 2, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("prediction", ["noise", "v"])
def test_a_run_ends_with_a_file_that_holds_the_denoiser_and_how_it_was_made(tmp_path, prediction):
    done = drive(task_of(recipe(prediction=prediction)), tmp_path, command="jaxpr train small", progress=False)
    packed = read_denoiser(done.weights)
    assert (packed.config, packed.side, packed.schedule, packed.prediction) == (SMALL, 8, "linear", prediction)
    assert packed.metadata["command"] == "jaxpr train small"
    assert packed.metadata["data"] == "digits-train"
    assert (tmp_path / "small" / "samples" / "step-0000004.png").exists()
    assert packed.noise_schedule() == SCHEDULE
    eps = adm_unet(SMALL).apply(packed.params, jnp.ones((1, 8, 8, 1)), jnp.array([3]))
    assert eps.shape == (1, 8, 8, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": DenoiserCrops(source="digits", size=7)}, "size: found 7, expected a multiple of 2"),
        ({"network": SMALL._replace(out_channels=2)}, "network: found out_channels 2"),
        ({"schedule": "exponential"}, "schedule: found 'exponential', expected one of linear, cosine"),
        ({"prediction": "x0"}, "prediction: found 'x0', expected one of noise, v"),
        ({"network": None}, "network: found None, expected an ADMUNetConfig"),
    ],
)
def test_recipes_refuse_what_cannot_be_trained(changes, expected):
    with pytest.raises(InputError, match=expected):
        recipe(**changes)


def test_images_of_other_channels_are_refused(tmp_path):
    colours = recipe(data=DenoiserCrops(source="photos", size=8))
    with pytest.raises(InputError, match="source: found images of 3 channels, expected 1"):
        drive(task_of(colours), tmp_path, command="", progress=False)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "file.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"file.safetensors: content: found no packed weights"):
        read_denoiser(tmp_path / "file.safetensors")


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_the_config_of_priors_has_recipes_of_every_scale(scale):
    assert list(load_recipes("denoisers", scale)) == ["digits28", "photos32", "photos64"]
