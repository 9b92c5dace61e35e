"""Programs to be lowered for accelerators: networks of every family, and what evaluation and training compile."""

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from lowering_cases import KEY, Case, case, classify, floats, gradient, keys, noisy, smooth

from jaxpr import models, restorers, weights
from jaxpr.attacks import l2_adam
from jaxpr.degradations import parse_degradation
from jaxpr.diffusion import linear_schedule
from jaxpr.evaluation import Protocol, decisions, devices, measure, outputs, planes, probes
from jaxpr.evaluation.draws import computation_of
from jaxpr.models.adm_classifier import ADMClassifierConfig, adm_classifier
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet, split_adm_unet
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.classifier import ClassifierConfig, classifier_model, digit_model
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.models.discriminators import (
    PatchCriticConfig,
    UNetCriticConfig,
    VggCriticConfig,
    patch_critic,
    unet_critic,
    vgg_critic,
)
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGANConfig, gfpgan, gfpgan_noises
from jaxpr.models.inception import half_pixel_input, inception, tf1_input
from jaxpr.models.lpips import HeadsConfig, TrunkConfig, lpips_heads, lpips_trunk
from jaxpr.models.resnet_critic import resnet_critic, table4
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.restormer import RestormerConfig, restormer
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.srvggnet import SRVGGNetConfig, srvggnet
from jaxpr.models.swin2sr import Swin2SRConfig, swin2sr
from jaxpr.models.swinir import SwinIRConfig, swinir
from jaxpr.models.unet import UNetConfig, unet
from jaxpr.models.vit import ViTConfig, vit
from jaxpr.restorers import as_restorer
from jaxpr.toys import gans as toy
from jaxpr.training import (
    Adam,
    AdversarialLoss,
    Crops,
    NetworkSettings,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
    gan,
    images,
    losses,
    pool,
    supervised,
    tasks,
)
from jaxpr.training.autoencoder import (
    AutoencoderLosses,
    AutoencoderRecipe,
    PatchLoss,
    autoencoder_procedure,
    autoencoder_step,
    start_autoencoder,
)
from jaxpr.training.denoiser import DenoiserCrops, denoising_loss
from jaxpr.training.restorer_task import build_procedure

PIXELS, TINY = floats(1, 8, 8, 3), RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)
TIMES = floats(1)
ADM = {"model_channels": 32, "num_res_blocks": 1, "attention_resolutions": (2,), "channel_mult": (1, 2)}
SWIN = {"in_chans": 3, "img_size": 8, "window_size": 4, "img_range": 1.0, "depths": (2,), "embed_dim": 8}
SWIN |= {"num_heads": (2,), "mlp_ratio": 2.0, "resi_connection": "1conv"}
SMALL_VIT = ViTConfig(8, 1, 2, 8, image_size=8, patch_size=4, num_labels=3)
FACES = GFPGANConfig(
    out_size=8, num_style_feat=8, num_mlp=2, input_is_latent=False, different_w=False, narrow=1 / 64, sft_half=False
)


def network(name: str, build: Callable[[], Model], *inputs: Any, backward: bool = True) -> Case:
    """Forward, and the gradient by the inputs, which attacks need."""

    def make() -> tuple[Any, ...]:
        model = build()

        def run(params: Any, *inputs: Any) -> Any:
            return (
                gradient(functools.partial(model.apply, params))(*inputs) if backward else model.apply(params, *inputs)
            )

        return run, jax.eval_shape(model.init, KEY), *inputs

    return Case((name,), make)


def in_two_parts() -> Model:
    """The network of ADM with features of its own shallow part's images."""
    config = ADMUNetConfig(num_head_channels=16, **ADM)
    parts = split_adm_unet(config)

    def apply(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        return parts.shallow(params, 2 * x, t, parts.whole(params, x, t)[1])

    return Model(adm_unet(config).init, apply)


def of_autoencoder(params: Any, key: jax.Array, x: jax.Array) -> Any:
    found = autoencoder_kl(AutoencoderKLConfig(3, 3, (8, 16), 1, 4, 4))
    return found.decode(params, found.encode(params, x).sample(key))


NETWORKS = [
    network("models.rrdbnet.rrdbnet", lambda: rrdbnet(TINY), PIXELS),
    network("models.srvggnet.srvggnet", lambda: srvggnet(SRVGGNetConfig(num_feat=4, num_conv=1)), PIXELS),
    network("models.swinir.swinir", lambda: swinir(SwinIRConfig(upscale=2, upsampler="pixelshuffle", **SWIN)), PIXELS),
    network(
        "models.swin2sr.swin2sr", lambda: swin2sr(Swin2SRConfig(upscale=2, upsampler="pixelshuffle", **SWIN)), PIXELS
    ),
    network(
        "models.restormer.restormer",
        lambda: restormer(RestormerConfig(dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 2, 2))),
        PIXELS,
    ),
    network("models.vit.vit", lambda: vit(SMALL_VIT), PIXELS),
    network("models.adm_unet.adm_unet", lambda: adm_unet(ADMUNetConfig(num_head_channels=16, **ADM)), PIXELS, TIMES),
    network("models.adm_unet.split_adm_unet", in_two_parts, PIXELS, TIMES),
    network(
        "models.adm_classifier.adm_classifier",
        lambda: adm_classifier(ADMClassifierConfig(image_size=8, out_channels=5, num_head_channels=16, **ADM)),
        PIXELS,
        TIMES,
    ),
    network(
        "models.ddpm_unet.ddpm_unet",
        lambda: ddpm_unet(DDPMUNetConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,))),
        PIXELS,
        TIMES,
    ),
    network("models.inception.inception", inception, floats(1, 75, 75, 3), backward=False),
    network("models.gfpgan.gfpgan", lambda: gfpgan(FACES), PIXELS),
    network("models.unet.unet", lambda: unet(UNetConfig(3, 2, 1)), PIXELS, (floats(1, 8, 8, 1),)),
    network("models.resnet_critic.resnet_critic", lambda: resnet_critic(table4(size=8, channels=3, width=2)), PIXELS),
    network("models.discriminators.vgg_critic", lambda: vgg_critic(VggCriticConfig(8, 3, 2)), PIXELS),
    network("models.discriminators.patch_critic", lambda: patch_critic(PatchCriticConfig(3, 2, 1)), PIXELS),
    network("models.discriminators.unet_critic", lambda: unet_critic(UNetCriticConfig(3, 2)), PIXELS),
    network("models.classifier.digit_model", lambda: digit_model("judge"), floats(2, 8, 8, 1)),
    *(
        network(
            "models.classifier.classifier_model",
            lambda design=design: classifier_model(ClassifierConfig(design, 8, width=2)),
            floats(2, 8, 8, 1),
        )
        for design in ("pooled", "residual")
    ),
    network("models.lpips.lpips_trunk", lambda: lpips_trunk(TrunkConfig("alexnet")), floats(1, 64, 64, 3)),
    network("models.lpips.lpips_heads", lambda: lpips_heads(HeadsConfig((3,))), (PIXELS,), backward=False),
    Case(
        (
            "models.autoencoder_kl.autoencoder_kl",
            *(f"models.autoencoder_kl.Posterior.{n}" for n in ("sample", "at", "std")),
        ),
        lambda: (
            of_autoencoder,
            jax.eval_shape(autoencoder_kl(AutoencoderKLConfig(3, 3, (8, 16), 1, 4, 4)).model.init, KEY),
            KEY,
            PIXELS,
        ),
    ),
    case("models.gfpgan: gfpgan_noises", lambda k: gfpgan_noises(k, config=FACES, count=2), KEY),
    case("models.inception: half_pixel_input tf1_input", lambda x: (half_pixel_input(x), tf1_input(x)), PIXELS),
    case(
        "models.mlp: init_mlp mlp mlp_with_pattern input_gradient",
        lambda k, x: (
            models.mlp(layers := models.init_mlp(k, (3, 4, 1)), x),
            models.input_gradient(layers, models.mlp_with_pattern(layers, x)[1]),
        ),
        KEY,
        floats(3, 5),
    ),
    case(
        "weights.features: feature_extractor",
        lambda x: weights.feature_extractor("pixels").apply(x),
        PIXELS,
    ),
    Case(
        ("weights.classifiers.digit_classifier",),
        lambda: (gradient(weights.digit_classifier("judge")), floats(2, 8, 8, 1)),
    ),
]

PROTOCOL = Protocol().replace(
    attack_steps=2,
    sweep=(0.1,),
    lipschitz_iterations=2,
    explore_samples=2,
    explore_steps=2,
    samples=2,
    attack_draws=2,
    patch_size=8,
    patch_stride=8,
    features="pixels",
)
MEASURED, EXAMPLES = floats(2, 16, 16, 3), keys(2)


class Caught(BaseException):
    """Carries what a host loop was about to run, through whatever turns exceptions into messages."""


def caught(module: Any, name: str, run: Callable[[], Any]) -> tuple[Any, ...]:
    """The arguments with which `run` calls `module.name`, which is not called."""

    def stop(*arguments: Any, **_: Any) -> None:
        raise Caught(*arguments)

    with mock.patch.object(module, name, stop):
        try:
            run()
        except Caught as found:
            return found.args
    raise AssertionError(f"{name} was not called")


def on_one_device(make: Callable[[], tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
    """Without the mesh of this process's devices around the program."""

    def made() -> tuple[Any, ...]:
        with mock.patch.object(devices, "local_devices", return_value=jax.local_devices()[:1]):
            return make()

    return made


def evaluated(name: str, build: Callable[[], Any], *arguments: Any) -> Case:
    return Case((name,), on_one_device(lambda: (build(), *arguments)))


def of_restorer(part: str, fn: Callable[..., Any], *arguments: Any, **changes: Any) -> Case:
    return evaluated(
        "evaluation.measure.programs",
        lambda: getattr(measure.programs(computation_of(as_restorer(part, fn)), PROTOCOL._replace(**changes)), part),
        (),
        EXAMPLES,
        *arguments,
    )


def probed() -> Callable[..., Any]:
    return probes.probe_program(computation_of(as_restorer("smooth", smooth)), PROTOCOL)


def scored(side: int, spec: str) -> tuple[Any, ...]:
    x = floats(2, side, side, 3)
    y = jax.eval_shape(parse_degradation(spec), EXAMPLES, x)
    return measure.scorer(parse_degradation(spec), PROTOCOL), x, y, x


def scored_attack() -> tuple[Any, ...]:
    y = floats(2, 8, 8, 3)
    return measure.attack_scorer(), y, y, measure.Responses(floats(2), floats(2), floats(2, 32, 32, 3))


def decided() -> tuple[Any, ...]:
    """The program behind one restorer, and its arguments."""
    asked = decisions.AttackedDecisions(
        attacker=classify, judge=classify, steps=2, score=lambda x: jnp.mean(x, axis=(1, 2, 3))
    )
    program = decisions.decision_program(computation_of(as_restorer("smooth", smooth)), asked, (0.0, 1.0))
    attack = floats(), jax.ShapeDtypeStruct((), jnp.int32)
    return program, (), attack, EXAMPLES, floats(2, 8, 8, 3)


EVALUATION = [
    Case(
        ("restorers.trained.trained_restorer",),
        lambda: (gradient(restorers.trained_restorer("digits-average-x2-deterministic-l1-0")), floats(2, 4, 4, 1)),
    ),
    of_restorer("restore", smooth, MEASURED),
    of_restorer("restore", noisy, MEASURED),
    of_restorer("attack", smooth, MEASURED),
    of_restorer("attack", noisy, MEASURED),
    of_restorer("attack", smooth, MEASURED, attack="l2_adam"),
    of_restorer("respond", noisy, MEASURED, MEASURED),
    of_restorer("draws", noisy, floats(2, 32, 32, 3)),
    evaluated(
        "evaluation.outputs.diversity_scorer", lambda: outputs.diversity_scorer(PROTOCOL), floats(2, 2, 32, 32, 3)
    ),
    evaluated("evaluation.probes.probe_program", probed, (), EXAMPLES, MEASURED, MEASURED),
    Case(("evaluation.measure.scorer",), on_one_device(lambda: scored(32, "bicubic-x4"))),
    Case(("evaluation.measure.scorer",), on_one_device(lambda: scored(16, "noise-0.1"))),
    Case(("evaluation.measure.attack_scorer",), on_one_device(scored_attack)),
    evaluated(
        "evaluation.measure.patch_features", lambda: measure.patch_features("alexnet", size=8, stride=8), MEASURED
    ),
    evaluated("evaluation.measure.patch_classes", lambda: measure.patch_classes("pixels", size=8, stride=8), MEASURED),
    evaluated(
        "evaluation.measure.degrader",
        lambda: measure.degrader(parse_degradation("bicubic-x4+noise-0.1"), bits=8),
        EXAMPLES,
        MEASURED,
    ),
    evaluated(
        "evaluation.planes.block_extractor", lambda: planes.block_extractor(PROTOCOL, 2), MEASURED, floats(2, 8, 8, 3)
    ),
    Case(("evaluation.decisions.decision_program",), on_one_device(decided)),
]

RECIPE = RestorerRecipe(
    name="tiny",
    data=Crops(source="digits", size=8, degradation="inpaint-top-0.75"),
    network=NetworkSettings(sizes=UNetConfig(channels=1, width=2, scales=1), stochastic=True),
    losses=RestorerLosses(
        pixel=0.5,
        adversarial=AdversarialLoss(weight=1.0, critic=VggCriticConfig(size=8, channels=1, width=2)),
        robustness=RobustnessLoss(weight=2.0, draws=2, steps=2),
    ),
    optimizer=Adam(steps=9, batch=2, rate=1e-2, critic_rate=1e-2),
)
ATTACK = functools.partial(l2_adam, epsilon=0.2, steps=2, learning_rate=1.0)


def zeros(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)


def scanned(step: Any, state: Any, data: Any) -> tuple[Any, ...]:
    """A chunk of steps, as the runner compiles them."""

    def chunk(begin: jax.Array, state: Any, data: Any) -> Any:
        return jax.lax.scan(lambda state, number: step(number, state, data), state, begin + jnp.arange(3))

    return chunk, jax.ShapeDtypeStruct((), jnp.int32), state, data


def image_chunk() -> tuple[Any, ...]:
    procedure = build_procedure(RECIPE)
    state = jax.eval_shape(functools.partial(images.start_restorer, procedure=procedure), KEY)
    few = pool.image_pool([np.zeros((9, 9, 1), np.float32)], smallest=8)
    step = images.crop_step(procedure, size=8, symmetries=8, candidates=2)
    averaged = tasks.with_average(step, decay=RECIPE.optimizer.average)
    return scanned(averaged, tasks.Averaged(state, state.params), (jax.random.key(0), few, jnp.arange(2)))


def gan_chunk(
    start: Callable[..., Any], of: gan.GanLosses, optimizers: Any, data: Any, options: Any
) -> tuple[Any, ...]:
    """An ensemble of two."""
    state = zeros(jax.eval_shape(jax.vmap(start), keys(2)))
    both = {"losses": of, "optimizers": optimizers, "steps": 3, "batch_size": 4, "options": options}
    run = lambda: gan.fit_gan(jax.random.split(jax.random.key(0), 2), state, data, **both)  # noqa: E731
    return scanned(*caught(gan, "run_steps", run))


def supervised_chunk() -> tuple[Any, ...]:
    model = digit_model("judge")
    optimizer = toy.denoiser_optimizers(steps=10)[0]
    augmentation = functools.partial(supervised.augment, shift=1, noise_std=0.1)
    loss = supervised.classification_loss(model.apply, augmentation=augmentation, smoothing=0.1)
    state = supervised.start(zeros(jax.eval_shape(model.init, KEY)), optimizer)
    data = (np.zeros((6, 8, 8, 1), np.float32), np.zeros(6, np.int32))
    step = supervised.minibatch_step(loss=loss, optimizer=optimizer, batch_size=2)
    return scanned(step, state, (jax.random.key(0), data))


def tied(config: Any) -> tuple[Any, ...]:
    parsed = parse_degradation(RECIPE.data.degradation)
    made = restorer_network(
        RestorerConfig(config, RECIPE.data.degradation, parsed.factor, True, True), operators=parsed.operator
    )
    y = jax.eval_shape(parsed.operator((8, 8, 1)), floats(2, 8, 8, 1))

    def run(params: Any, key: jax.Array, y: jax.Array) -> Any:
        return made.apply(params, y, made.seeds(key, y))

    return run, jax.eval_shape(made.init, KEY), KEY, y


def denoiser_loss() -> tuple[Callable[..., Any], ...]:
    """The gradient of a denoiser's loss."""
    config = ADMUNetConfig(1, 32, 1, 1, (), (1,), num_head_channels=32)
    model = adm_unet(config)

    def run(params: Any, keys: jax.Array, x: jax.Array, t: jax.Array) -> Any:
        schedule = linear_schedule()
        return jax.grad(lambda found: denoising_loss(keys, model, found, x, t, schedule=schedule))(params)

    return run, jax.eval_shape(model.init, KEY), keys(2), floats(2, 4, 4, 1), jax.ShapeDtypeStruct((2,), jnp.int32)


def autoencoder_training() -> tuple[Callable[..., Any], ...]:
    """The start, and a step with a critic."""
    recipe = AutoencoderRecipe(
        name="tiny",
        data=DenoiserCrops(source="digits", size=8),
        network=AutoencoderKLConfig(1, 1, (4, 4), 1, 2, 2),
        losses=AutoencoderLosses(
            perceptual=0.0, adversarial=PatchLoss(weight=0.5, critic=PatchCriticConfig(1, 2, 1), critic_from=1)
        ),
        optimizer=Adam(steps=4, batch=2),
    )
    procedure = autoencoder_procedure(recipe)

    def run(key: jax.Array, keys: jax.Array, x: jax.Array, number: jax.Array) -> Any:
        return autoencoder_step(keys, start_autoencoder(key, procedure), x, number, procedure=procedure)

    return run, KEY, keys(2), floats(2, 8, 8, 1), jax.ShapeDtypeStruct((), jnp.int32)


POINTS_XY = (np.zeros((6, 1), np.float32), np.zeros((6, 1), np.float32))
WEIGHTS = np.ones(2, np.float32)
STEP = "adversarial_robustness critic_loss generator_loss r1_penalty fit_gan gan_step"
TRAINING = [
    Case(("models.restorer_network.restorer_network",), lambda: tied(RECIPE.network.sizes)),
    Case(
        (
            *(f"training.images.{n}" for n in ("crop_step", "restorer_step", "start_restorer")),
            *(f"training.tasks.{n}" for n in ("with_average", "average_weights")),
            *(f"training.losses.{n}" for n in ("absolute_error", "critic_objective", "Adversary.logits")),
            "training.pool.draw_crops",
        ),
        image_chunk,
    ),
    Case(("training.losses.squared_error",), lambda: (gradient(losses.squared_error), PIXELS, PIXELS)),
    Case(
        ("training.losses.perceptual_error",),
        lambda: (
            gradient(losses.perceptual_error(weights.perceptual_network("alexnet"))),
            *(floats(1, 32, 32, 3),) * 2,
        ),
    ),
    Case(
        (*(f"training.gan.{n}" for n in STEP.split()), "toys.gans.denoiser_losses", "toys.gans.toy_denoiser"),
        lambda: gan_chunk(
            toy.start_denoiser, toy.denoiser_losses(), toy.denoiser_optimizers(steps=10), POINTS_XY, WEIGHTS
        ),
    ),
    Case(
        ("toys.gans.plain_denoiser_losses",),
        lambda: gan_chunk(
            toy.start_denoiser, toy.plain_denoiser_losses(), toy.denoiser_optimizers(steps=10), POINTS_XY, WEIGHTS
        ),
    ),
    Case(
        ("toys.gans.planar_losses", "toys.gans.toy_restorer"),
        lambda: gan_chunk(
            functools.partial(toy.start_planar, width=4),
            toy.planar_losses(width=4, attack=ATTACK, draws=2),
            toy.planar_optimizers(),
            np.zeros((6, 2), np.float32),
            (WEIGHTS, WEIGHTS),
        ),
    ),
    case(
        "toys.gans: start_denoiser start_planar",
        lambda k: (toy.start_denoiser(k), toy.start_planar(k, width=4)),
        KEY,
    ),
    case(
        "training.gan: random_robustness",
        lambda k, y: gan.random_robustness(k, smooth, y, variance=0.1),
        KEY,
        MEASURED,
    ),
    Case(
        tuple(
            f"training.supervised.{name}" for name in ("minibatch_step", "train_step", "augment", "classification_loss")
        ),
        supervised_chunk,
    ),
    Case(("training.denoiser.denoising_loss",), denoiser_loss),
    Case(
        tuple(f"training.autoencoder.{n}" for n in ("autoencoder_step", "kl_divergence", "start_autoencoder")),
        autoencoder_training,
    ),
]
CASES = NETWORKS + EVALUATION + TRAINING
