"""Cases of the sweep over JAX's modes: models, training, evaluation. See `modes_measures.py`."""

import functools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden_sizes import ADM, CLASSIFIER, FACES
from modes_measures import KEY, uniform

from jaxpr import attacks, evaluation, models, toys, training, weights
from jaxpr.data import from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import devices, stream
from jaxpr.restorers import bicubic

LARGE, SMALL = uniform(1, 32, 32, 3), uniform(1, 8, 8, 3)
SWIN = {
    "upscale": 1,
    "depths": (1,),
    "embed_dim": 4,
    "num_heads": (2,),
    "window_size": 4,
    "mlp_ratio": 2,
    "img_size": 8,
    "in_chans": 3,
    "img_range": 1.0,
    "upsampler": "",
    "resi_connection": "1conv",
}


def network(model, *inputs):
    """Parameters drawn, and outputs, as one program each."""
    params = jax.jit(model.init)(KEY)
    return params, jax.jit(model.apply)(params, *jax.tree.map(jnp.asarray, inputs))


def autoencoder():
    config = models.AutoencoderKLConfig(block_out_channels=(4, 4), layers_per_block=1, norm_num_groups=2)
    made = models.autoencoder_kl(config)
    params = jax.jit(made.model.init)(KEY)
    posterior = jax.jit(made.encode)(params, jnp.asarray(SMALL))
    latent = posterior.sample(KEY)
    return posterior, latent, jax.jit(made.decode)(params, latent)


def gfpgan_inputs():
    return [models.gfpgan_noises(KEY, FACES, 1)]


def layers():
    return models.init_mlp(KEY, (2, 5, 1))


COLUMNS = uniform(2, 7)

MODELS = {
    "adm_classifier": lambda: network(models.adm_classifier(CLASSIFIER), SMALL[:, :4, :4], np.int32([3])),
    "adm_unet": lambda: network(models.adm_unet(ADM), SMALL[:, :4, :4], np.int32([3])),
    "autoencoder_kl": autoencoder,
    "classifier_model": lambda: [
        network(models.classifier_model(models.ClassifierConfig(design, 4, width=2)), jnp.asarray(uniform(1, 4, 4, 1)))
        for design in ("pooled", "residual")
    ],
    "ddpm_unet": lambda: network(
        models.ddpm_unet(models.DDPMUNetConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,))),
        SMALL,
        np.int32([3]),
    ),
    "digit_classifier": lambda: weights.digit_classifier("judge")(jnp.asarray(uniform(1, 8, 8, 1))),
    "feature_extractor": lambda: weights.feature_extractor("pixels").apply(jnp.asarray(LARGE)),
    "functional": lambda: network(models.functional(lambda rngs: models.Conv(3, 2, (3, 3), rngs=rngs)), SMALL),
    "gfpgan": lambda: network(models.gfpgan(FACES), 2 * SMALL - 1, *gfpgan_inputs()),
    "gfpgan_noises": lambda: models.gfpgan_noises(KEY, FACES, 2),
    "half_pixel_input": lambda: models.half_pixel_input(jnp.asarray(SMALL)),
    "init_mlp": layers,
    "input_gradient": lambda: models.input_gradient(layers(), models.mlp_with_pattern(layers(), COLUMNS)[1]),
    "mlp": lambda: models.mlp(layers(), jnp.asarray(COLUMNS)),
    "mlp_with_pattern": lambda: models.mlp_with_pattern(layers(), jnp.asarray(COLUMNS)),
    "perceptual_network": lambda: weights.perceptual_network("alexnet").taps(jnp.asarray(LARGE)),
    "restormer": lambda: network(
        models.restormer(models.RestormerConfig(dim=4, num_blocks=(0, 0, 0, 1), heads=(1, 1, 2, 2))), SMALL
    ),
    "rrdbnet": lambda: network(models.rrdbnet(models.RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)), SMALL),
    "srvggnet": lambda: network(models.srvggnet(models.SRVGGNetConfig(num_feat=4, num_conv=1)), SMALL),
    "swin2sr": lambda: network(
        models.swin2sr(models.Swin2SRConfig(**SWIN)),
        SMALL,
    ),
    "swinir": lambda: network(
        models.swinir(models.SwinIRConfig(**SWIN)),
        SMALL,
    ),
    "tf1_input": lambda: models.tf1_input(jnp.asarray(SMALL)),
    "vit": lambda: network(
        models.vit(
            models.ViTConfig(
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=8,
                image_size=8,
                patch_size=4,
                num_labels=3,
            )
        ),
        SMALL,
    ),
}

POINTS = uniform(16, 2, seed=3)


def squared(params, key, batch):
    x, wanted = batch
    return jnp.mean(jnp.square(jnp.matmul(x, params["w"]) - wanted))


def begin(optimizer):
    return training.start({"w": jnp.zeros(2, jnp.float32)}, optimizer)


def fitted():
    optimizer = optax.adam(training.multi_step(0.1, factor=0.5, at=[2]))
    data = (POINTS, POINTS @ np.float32([1.0, 2.0]))
    one = training.minibatch_step(loss=squared, optimizer=optimizer, batch_size=4)
    return training.run_steps(one, begin(optimizer), (KEY, data), steps=3)


def stepped():
    optimizer = optax.adam(0.1)
    batch = (POINTS, POINTS @ np.float32([1.0, 2.0]))
    return training.train_step(KEY, begin(optimizer), batch, loss=squared, optimizer=optimizer)


def denoiser(losses=toys.denoiser_losses):
    state, batch = toys.start_denoiser(KEY), (POINTS[:, :1], POINTS[:, 1:])
    return training.gan_step(
        KEY,
        state,
        batch,
        jnp.int32(0),
        losses=losses(),
        optimizers=toys.denoiser_optimizers(steps=100),
        options=jnp.float32(1.0),
    )


def attack(key, objective, y):
    return attacks.l2_adam(key, objective, y, epsilon=0.1, steps=2, learning_rate=0.1)


def planar():
    state = toys.start_planar(KEY, width=8)
    return training.fit_gan(
        KEY,
        state,
        POINTS,
        losses=toys.planar_losses(width=8, attack=attack, draws=2, every=2),
        optimizers=toys.planar_optimizers(),
        steps=2,
        batch_size=4,
        options=(jnp.float32(1.0), jnp.float32(1.0)),
    )


def sampler(key, y):
    return y * y + 0.1 * jax.random.normal(key, y.shape, y.dtype)


def step(number, state, data):
    state = 0.9 * state + jax.random.normal(jax.random.fold_in(KEY, number), state.shape, state.dtype)
    return state, {"mean": jnp.mean(state)}


def classification(params, key, batch):
    del key
    return training.classification_loss(lambda p, x: jnp.matmul(x, p), smoothing=0.1)(params, KEY, batch)


TRAINING = {
    "adversarial_robustness": lambda: training.adversarial_robustness(
        KEY, sampler, jnp.asarray(POINTS), attack=attack, draws=2
    ),
    "augment": lambda: training.augment(KEY, jnp.asarray(uniform(2, 8, 8, 1)), shift=1, noise_std=0.1),
    "classification_loss": lambda: classification(
        jnp.asarray(uniform(2, 3)), KEY, (jnp.asarray(POINTS), jnp.asarray(np.arange(16) % 3, jnp.int32))
    ),
    "critic_loss": lambda: training.critic_loss(jnp.asarray(POINTS), jnp.asarray(POINTS)),
    "denoiser_losses": denoiser,
    "minibatch_step": fitted,
    "fit_gan": planar,
    "generator_loss": lambda: training.generator_loss(jnp.asarray(POINTS)),
    "multi_step": lambda: training.multi_step(0.1, factor=0.5, at=[2])(jnp.int32(3)),
    "plain_denoiser_losses": lambda: denoiser(toys.plain_denoiser_losses),
    "r1_penalty": lambda: training.r1_penalty(lambda x: jnp.sum(x**3, axis=1), jnp.asarray(POINTS)),
    "random_robustness": lambda: training.random_robustness(KEY, jnp.square, jnp.asarray(POINTS), variance=0.2),
    "run_steps": lambda: training.run_steps(step, jnp.zeros(3, jnp.float32), None, steps=3),
    "start": lambda: begin(optax.adam(0.1)),
    "start_denoiser": lambda: toys.start_denoiser(KEY),
    "start_planar": lambda: toys.start_planar(KEY, width=8),
    "toy_denoiser": lambda: toys.toy_denoiser(toys.start_denoiser(KEY).generator)(jnp.asarray(POINTS[:, :1])),
    "toy_restorer": lambda: toys.toy_restorer(toys.start_planar(KEY, width=8).generator, width=8, span=1.0)(
        KEY, jnp.asarray(POINTS[:, :1])
    ),
    "train_step": stepped,
}
PROTOCOL = evaluation.Protocol().replace(
    crop=32,
    patch_size=8,
    patch_stride=4,
    attack_steps=1,
    features="pixels",
    lipschitz_iterations=1,
    sweep=(1 / 255,),
    limit=2,
    probes=1,
)


def on_one_device(run):
    """With eight devices the programs take far longer to compile."""
    kept = [(module, module.local_devices) for module in (devices, stream)]
    try:
        for module, _ in kept:
            module.local_devices = lambda: jax.local_devices()[:1]
        return run()
    finally:
        for module, original in kept:
            module.local_devices = original


def evaluated():
    images = from_arrays(uniform(2, 32, 32, 3), name="drawn")
    with tempfile.TemporaryDirectory() as folder:
        found = on_one_device(
            lambda: evaluation.evaluate(
                KEY,
                {"bicubic": functools.partial(bicubic, factor=2)},
                images,
                parse_degradation("bicubic-x2"),
                protocol=PROTOCOL,
                out=pathlib.Path(folder),
                progress=False,
            )
        )
    return [(metric.value, metric.stderr) for one in found.restorers for metric in one.metrics.values()]


def judge(x):
    return 20 * jnp.mean(x.reshape(x.shape[0], 4, -1), axis=2)


def decided():
    images = from_arrays(uniform(4, 8, 8, 1), name="bands", labels=[0, 1, 2, 3])
    attack = evaluation.DecisionAttack(0.1)
    found = evaluation.evaluate_decisions(
        KEY,
        {"repeat": lambda y: jnp.repeat(jnp.repeat(y, 2, axis=1), 2, axis=2)},
        images,
        "average-x2",
        evaluation.AttackedDecisions(attacker=judge, judge=judge, attacks=(attack,), steps=2),
        batch_size=4,
    )
    return [(one.judge.before, one.judge.after) for one in found[0].restorers]


EVALUATION = {"evaluate": evaluated, "evaluate_decisions": decided}
NETWORKS = {"models": MODELS, "training": TRAINING, "evaluation": EVALUATION}
