"""torch modules as estimators: the same network in JAX, every transformation, attacks, a whole evaluation, errors."""

import functools
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpr.attacks import (
    GradientState,
    classify_gradient,
    ifgsm,
    l2_adam,
    lipschitz_ratio,
    local_lipschitz,
    output_shift,
)
from jaxpr.core import HIGHEST, InputError, example_keys
from jaxpr.core.versions import enable_x64
from jaxpr.data import from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.evaluation import Protocol, devices, evaluate, stream
from jaxpr.models.layers import pixel_shuffle, upsample_nearest
from jaxpr.numerics import conv
from jaxpr.restorers import bicubic, consistent
from jaxpr.restorers.tiled import tiled
from jaxpr.restorers.torch_bridge import from_torch

VALUE, GRADIENT = 1e-5, 1e-4  # absolute, of numbers of size one; float32 sums of up to 144 terms in another order
KEY = jax.random.key(0)
Y = np.random.default_rng(0).random((8, 7, 6, 3), np.float32)
DIRECTION = np.random.default_rng(1).standard_normal((8, 14, 12, 3)).astype(np.float32)


@functools.cache
def network():
    """A ×2 super-resolver: two convolutions beside the enlarged image."""
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 16, 3, padding=1)
            self.last = torch.nn.Conv2d(16, 12, 3, padding=1)

        def forward(self, y):
            functions = torch.nn.functional
            detail = self.last(functions.gelu(self.first(y)))
            return functions.interpolate(y, scale_factor=2, mode="nearest") + functions.pixel_shuffle(detail, 2)

    torch.manual_seed(0)
    return Network().eval()


def twin(y):
    """The same network in JAX."""
    layers = [getattr(network(), name) for name in ("first", "last")]
    hidden, details = y, None
    for layer in layers:
        kernel = jnp.asarray(layer.weight.detach().numpy().transpose(2, 3, 1, 0))
        details = conv(hidden, kernel, padding=((1, 1), (1, 1)), precision=HIGHEST)
        details = details + jnp.asarray(layer.bias.detach().numpy())[None, None, None]
        hidden = jax.nn.gelu(details, approximate=False)
    return upsample_nearest(y, 2) + pixel_shuffle(details, 2)


def projected(estimator, y):
    """A number for each example, whose gradient is Jᵀ DIRECTION."""
    return jnp.sum(estimator(y) * DIRECTION[: y.shape[0]], axis=(1, 2, 3))


def gradient(estimator, y):
    return jax.grad(lambda z: jnp.sum(projected(estimator, z)))(y)


def sharded(x):
    return jax.device_put(x, NamedSharding(Mesh(np.array(jax.devices()), ("examples",)), PartitionSpec("examples")))


def spread(fn):
    mesh = Mesh(np.array(jax.devices()), ("examples",))
    return jax.jit(
        jax.shard_map(fn, mesh=mesh, in_specs=PartitionSpec("examples"), out_specs=PartitionSpec("examples"))
    )


@pytest.mark.torch
@pytest.mark.parametrize("compiled", [jax.jit, lambda fn: fn], ids=["jit", "eager"])
def test_values_and_gradients_are_those_of_the_same_network_in_jax(compiled):
    estimator = from_torch(network())
    np.testing.assert_allclose(compiled(estimator)(Y), twin(Y), atol=VALUE)
    found = compiled(functools.partial(gradient, estimator))(Y)
    np.testing.assert_allclose(found, gradient(twin, Y), atol=GRADIENT)


@pytest.mark.torch
def test_forward_mode_is_that_of_the_same_network_in_jax():
    tangent = np.random.default_rng(2).standard_normal(Y.shape).astype(np.float32)
    found, expected = (jax.jvp(estimator, (Y,), (tangent,)) for estimator in (from_torch(network()), twin))
    np.testing.assert_allclose(found[0], expected[0], atol=VALUE)
    np.testing.assert_allclose(found[1], expected[1], atol=GRADIENT)


@pytest.mark.torch
def test_a_batch_gives_what_its_examples_give():
    estimator = from_torch(network())
    ones = [(estimator(y[None]), gradient(lambda z: estimator(z), y[None])) for y in Y[:3]]
    np.testing.assert_allclose(estimator(Y[:3]), jnp.concatenate([value for value, _ in ones]), atol=VALUE)
    first = jnp.asarray(DIRECTION[:1])
    found = jax.grad(lambda z: jnp.sum(estimator(z) * first))(Y[:3])
    np.testing.assert_allclose(found, jnp.concatenate([slope for _, slope in ones]), atol=GRADIENT)


def counted(module):
    """The module and a list that gets the shape of every input it sees."""
    seen = []
    return module, seen, module.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))


@pytest.mark.torch
@pytest.mark.parametrize("compiled", [jax.jit, lambda fn: fn], ids=["jit", "eager"])
def test_vmap_is_one_call_of_torch_and_right(compiled):
    module, seen, hook = counted(network())
    estimator = from_torch(module)
    groups = Y.reshape(4, 2, *Y.shape[1:])
    jax.eval_shape(estimator, groups[0])
    seen.clear()
    found = compiled(jax.vmap(estimator))(groups)
    assert seen == [(8, 3, 7, 6)]
    np.testing.assert_allclose(found.reshape(8, 14, 12, 3), twin(Y), atol=VALUE)
    slopes = compiled(jax.vmap(functools.partial(gradient, estimator)))(groups)
    np.testing.assert_allclose(slopes, jax.vmap(functools.partial(gradient, twin))(groups), atol=GRADIENT)
    # Along another axis, twice, and over directions at one y.
    twice = jax.vmap(jax.vmap(estimator, in_axes=1, out_axes=1), in_axes=0)(Y.reshape(2, 2, 2, *Y.shape[1:]))
    np.testing.assert_allclose(
        twice, jax.vmap(jax.vmap(twin, in_axes=1, out_axes=1))(Y.reshape(2, 2, 2, *Y.shape[1:])), atol=VALUE
    )
    _, pull = jax.vjp(estimator, Y[:2])
    _, expected = jax.vjp(twin, Y[:2])
    many = DIRECTION.reshape(4, 2, *DIRECTION.shape[1:])
    np.testing.assert_allclose(jax.vmap(pull)(many)[0], jax.vmap(expected)(many)[0], atol=GRADIENT)
    hook.remove()


@pytest.mark.torch
def test_scan():
    def walk(estimator, y):
        def step(z, _):
            return jnp.clip(z + 0.01 * gradient(estimator, z), 0, 1), projected(estimator, z)

        return jax.lax.scan(step, y, length=4)

    found, expected = (jax.jit(functools.partial(walk, estimator))(Y) for estimator in (from_torch(network()), twin))
    np.testing.assert_allclose(found[0], expected[0], atol=VALUE)
    np.testing.assert_allclose(found[1], expected[1], atol=GRADIENT)


@pytest.mark.torch
def test_small_pieces_give_the_same():
    module, seen, hook = counted(network())
    estimator = from_torch(module, batch_size=3)
    np.testing.assert_allclose(jax.jit(estimator)(Y), twin(Y), atol=VALUE)
    np.testing.assert_allclose(jax.jit(functools.partial(gradient, estimator))(Y), gradient(twin, Y), atol=GRADIENT)
    assert max(shape[0] for shape in seen) == 3
    hook.remove()
    assert estimator(Y[:0]).shape == (0, 14, 12, 3)


@pytest.mark.torch
@pytest.mark.parametrize("attack", ["ifgsm", "l2_adam"])
def test_attacks_give_what_they_give_on_the_same_network_in_jax(attack):
    def attacked(estimator, y):
        objective = output_shift(estimator, y)
        if attack == "ifgsm":
            return ifgsm(KEY, objective, y, alpha=0.05, steps=8, bounds=(0.0, 1.0))
        return l2_adam(KEY, objective, y, epsilon=0.5, steps=5, learning_rate=1.0)

    estimator = from_torch(network())
    found, expected = (jax.jit(functools.partial(attacked, f))(Y) for f in (estimator, twin))
    np.testing.assert_allclose(found, expected, atol=GRADIENT)
    ratio, of_twin = (lipschitz_ratio(f, Y, found) for f in (estimator, twin))
    np.testing.assert_allclose(ratio, of_twin, rtol=GRADIENT)
    assert ratio.min() > 1


@pytest.mark.torch
def test_the_spectral_norm_is_that_of_the_same_network_in_jax():
    measure = functools.partial(local_lipschitz, KEY, y=jnp.asarray(Y), iterations=5)
    found, expected = (jax.jit(lambda f=f: measure(f))() for f in (from_torch(network()), twin))
    np.testing.assert_allclose(found, expected, rtol=GRADIENT)


@pytest.mark.torch
def test_it_combines_with_other_estimators():
    torch = pytest.importorskip("torch")
    estimator = from_torch(network())
    degradation = parse_degradation("average-x2")
    restored = jax.jit(consistent(estimator, degradation))(Y)
    np.testing.assert_allclose(degradation.operator((14, 12, 3))(restored), Y, atol=VALUE)
    plain = from_torch(torch.nn.Conv2d(3, 3, 3, padding=1))
    pieces = tiled(plain, tile=5, overlap=2)
    np.testing.assert_allclose(jax.jit(pieces)(Y), plain(Y), atol=VALUE)
    np.testing.assert_allclose(
        jax.grad(lambda y: jnp.sum(pieces(y) ** 2))(Y), jax.grad(lambda y: jnp.sum(plain(y) ** 2))(Y), atol=GRADIENT
    )


@pytest.mark.torch
@pytest.mark.parametrize("side", [6, 160])  # 160: enough for copies to run in other threads
@pytest.mark.parametrize("way", ["shard_map", "sharded inputs"])
def test_eight_devices_give_the_same_and_do_not_wait_for_each_other(way, side):
    torch = pytest.importorskip("torch")
    estimator = from_torch(torch.nn.Conv2d(3, 3, 3, padding=1))
    y = np.random.default_rng(3).random((8, side, side, 3), np.float32)

    def attack(keys, z):
        z_adv = ifgsm(keys, output_shift(estimator, z), z, alpha=0.05, steps=3, bounds=(0.0, 1.0))
        return z_adv, lipschitz_ratio(estimator, z, z_adv)

    keys, found = example_keys(KEY, 8), []
    expected = jax.jit(attack)(keys, y)

    def repeat():
        for _ in range(3):
            on_all = spread(attack)(keys, y) if way == "shard_map" else jax.jit(attack)(sharded(keys), sharded(y))
            found.append(jax.block_until_ready(on_all))

    # Devices that wait for each other do so for ever.
    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    thread.join(timeout=120)
    assert len(found) == 3
    for one, other in zip(found[-1], expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=GRADIENT, atol=VALUE)


@pytest.mark.torch
def test_eager_calls_take_sharded_arrays():
    estimator = from_torch(network())
    found = estimator(sharded(Y))
    assert len(found.sharding.device_set) == 8
    np.testing.assert_allclose(found, twin(Y), atol=VALUE)


@pytest.mark.torch
def test_range_and_order_of_channels():
    torch = pytest.importorskip("torch")

    class Noting(torch.nn.Module):
        def forward(self, y):
            self.seen = y.detach()
            return 2 * y

    module = Noting()
    np.testing.assert_allclose(from_torch(module, value_range=(0, 255), bgr=True)(Y), 2 * Y, rtol=1e-6)
    np.testing.assert_allclose(module.seen.numpy().transpose(0, 2, 3, 1)[..., ::-1], 255 * Y, rtol=1e-6)
    # f(2y - 1) = 4y - 2, which is intensity (4y - 2 + 1) / 2.
    np.testing.assert_allclose(from_torch(module, value_range=(-1, 1))(Y), 2 * Y - 0.5, atol=1e-6)
    found = jax.grad(lambda y: jnp.sum(from_torch(module, value_range=(0, 255), bgr=True)(y) ** 2))(Y)
    np.testing.assert_allclose(found, 8 * Y, rtol=1e-5)


@pytest.mark.torch
def test_select_takes_the_restoration_out():
    torch = pytest.importorskip("torch")

    class Two(torch.nn.Module):
        def forward(self, y):
            return {"small": y, "restored": torch.nn.functional.interpolate(y, scale_factor=3)}

    estimator = from_torch(Two(), select=lambda output: output["restored"])
    np.testing.assert_array_equal(estimator(Y), upsample_nearest(jnp.asarray(Y), 3))
    with pytest.raises(InputError, match="found an output of type dict, expected a floating tensor; see `select`"):
        from_torch(Two())(Y)


@pytest.mark.torch
def test_the_module_is_left_as_it_was():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), torch.nn.Conv2d(4, 3, 1)
    )
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    estimator = from_torch(module)
    gradient_y = jax.jit(jax.grad(lambda y: jnp.sum(estimator(y) ** 2)))(Y)
    assert [part.training for part in module.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    # Without dropout, and with the statistics of training: two calls agree, and with the module in evaluation mode.
    with torch.no_grad():
        expected = module.eval()(torch.tensor(Y.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(estimator(Y), expected, atol=VALUE)
    assert np.isfinite(gradient_y).all()


@pytest.mark.torch
def test_changed_parameters_are_seen_by_compiled_programs():
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv2d(3, 3, 1)
    estimator = jax.jit(from_torch(module))
    before = estimator(Y)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    np.testing.assert_allclose(estimator(Y), 2 * before, atol=VALUE)


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtypes(dtype):
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv2d(3, 3, 3, padding=1)
    expected = from_torch(module)(Y)
    found = from_torch(module.to(getattr(torch, dtype)))(Y)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=VALUE if dtype == "float64" else 0.05)
    module = module.to(torch.float32)
    with enable_x64(dtype == "float64"):
        y = jnp.asarray(Y, dtype)
        found, slope = jax.jit(jax.value_and_grad(lambda z: jnp.sum(from_torch(module)(z) ** 2)))(y)
    assert slope.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, np.float32), np.sum(expected**2), rtol=0.05)


@pytest.mark.torch
def test_nan_passes_through():
    torch = pytest.importorskip("torch")

    class Root(torch.nn.Module):
        def forward(self, y):
            return torch.sqrt(y - 0.5)

    estimator = jax.jit(from_torch(Root()))
    np.testing.assert_array_equal(np.isnan(estimator(Y)), Y < 0.5)
    assert classify_gradient(KEY, from_torch(Root()), jnp.asarray(Y)) is GradientState.NAN


@pytest.mark.torch
def test_a_gradient_that_the_module_cuts_is_zero():
    torch = pytest.importorskip("torch")

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 1)

        def forward(self, y):
            return self.layer(y.detach())

    class Round(torch.nn.Module):
        def forward(self, y):
            return torch.round(255 * y) / 255

    class Silent(torch.nn.Module):
        def forward(self, y):
            with torch.no_grad():
                return 2 * y

    for module in (Cut(), Round(), Silent()):
        assert classify_gradient(KEY, from_torch(module), jnp.asarray(Y)) is GradientState.ZERO


def custom(*, forward_mode: bool):
    """A module whose function torch differentiates in reverse mode only, or not at all."""
    torch = pytest.importorskip("torch")

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            ctx.save_for_backward(y)
            return y * y

        @staticmethod
        def backward(ctx, cotangent):
            if not forward_mode:
                raise NotImplementedError("no backward")
            return 2 * ctx.saved_tensors[0] * cotangent

    class Module(torch.nn.Module):
        def forward(self, y):
            return Square.apply(y)

    return Module()


@pytest.mark.torch
def test_what_torch_cannot_differentiate_is_said_while_tracing():
    reverse_only = from_torch(custom(forward_mode=True))
    np.testing.assert_allclose(jax.grad(lambda y: jnp.sum(reverse_only(y)))(Y), 2 * Y, rtol=1e-6)
    with pytest.raises(TypeError, match="found no forward-mode derivative in torch"):
        jax.eval_shape(lambda y: local_lipschitz(KEY, reverse_only, y, iterations=2), jnp.asarray(Y))
    neither = from_torch(custom(forward_mode=False))
    np.testing.assert_allclose(neither(Y), Y * Y, rtol=1e-6)
    with pytest.raises(
        TypeError, match=r"found no reverse-mode derivative in torch \(NotImplementedError: no backward"
    ):
        jax.eval_shape(jax.grad(lambda y: jnp.sum(neither(y))), Y)
    assert classify_gradient(KEY, neither, jnp.asarray(Y)) is GradientState.UNDIFFERENTIABLE
    with pytest.raises(TypeError, match="found a second derivative"):
        jax.hessian(lambda y: jnp.sum(from_torch(network())(y) ** 2))(Y[:1])


@pytest.mark.torch
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda torch: from_torch(lambda y: y), "module: found function, expected a torch.nn.Module"),
        (lambda torch: from_torch(torch.nn.Identity(), value_range=(1, 0)), "value_range: found"),
        (lambda torch: from_torch(torch.nn.Identity(), batch_size=0), "batch_size: found 0"),
        (lambda torch: from_torch(torch.nn.Flatten())(Y), r"found output of shape \(1, 126\) for one image"),
        (lambda torch: from_torch(torch.nn.Conv2d(4, 3, 1))(Y), r"failed on a black image of shape \(1, 3, 7, 6\)"),
        (lambda torch: from_torch(torch.nn.Identity())(Y[0]), "y: found shape"),
        (lambda torch: from_torch(torch.nn.Identity())(Y.transpose(0, 3, 1, 2)), "looks like NCHW"),
        (lambda torch: from_torch(torch.nn.Identity(), bgr=True)(Y[..., :2]), "found 2 channels, expected 1 or 3"),
        (
            lambda torch: from_torch(torch.nn.Identity(), select=lambda output: output > 0)(Y),
            "found an output of type torch.bool",
        ),
    ],
)
def test_errors(build, message):
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=message):
        build(torch)


@pytest.mark.torch
def test_on_a_tpu_there_is_a_clear_error():
    torch = pytest.importorskip("torch")
    estimator = jax.jit(from_torch(torch.nn.Identity()))
    with pytest.raises(InputError, match="module: found a TPU, expected a CPU or GPU"):
        estimator.trace(Y).lower(lowering_platforms=("tpu",))


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="module: found no torch, expected it; run: pip install torch"):
        from_torch(object())


PROTOCOL = Protocol().replace(
    crop=32,
    patch_size=8,
    patch_stride=4,
    attack_steps=2,
    features="pixels",
    sweep=(1 / 255, 4 / 255),
    lipschitz_iterations=3,
    explore_samples=2,
    explore_steps=2,
    uncertainty_block=0,
)


def evaluated(out, restorers, monkeypatch, *, count: int):
    for module in (devices, stream):
        monkeypatch.setattr(module, "local_devices", lambda: jax.local_devices()[:count])
    images = [bicubic(np.random.default_rng(n).random((1, 16, 16, 3), np.float32), factor=4)[0] for n in range(2)]
    images = [np.clip(image, 0, 1) for image in images]
    source = from_arrays(images, name="smooth")
    return evaluate(KEY, restorers, source, "average-x2", protocol=PROTOCOL, out=out, progress=False)


@pytest.mark.torch
def test_an_evaluation_gives_what_the_same_network_in_jax_gives(tmp_path, monkeypatch):
    restorers = {"torch": from_torch(network()), "jax": twin, "reverse only": reverse_only_network()}
    results = evaluated(tmp_path / "run", restorers, monkeypatch, count=1)
    of_torch, of_jax, of_reverse = (restorer.metrics for restorer in results.restorers)
    assert set(of_torch) == set(of_jax) >= {"lipschitz_mean", "local_lipschitz", "exploration_range", "psnr"}
    for name, expected in of_jax.items():
        np.testing.assert_allclose(of_torch[name].value, expected.value, rtol=1e-3, err_msg=name)  # kernels and FIDs
        assert of_torch[name].note == expected.note
    # Without torch's forward mode the spectral norm is left out, and nothing else.
    assert set(of_jax) - set(of_reverse) == {"local_lipschitz"}
    assert (tmp_path / "run" / "report.html").is_file()


def reverse_only_network():
    torch = pytest.importorskip("torch")
    return from_torch(torch.nn.Sequential(network(), custom(forward_mode=True)))


@pytest.mark.torch
def test_an_evaluation_on_eight_devices_gives_the_same(tmp_path, monkeypatch):
    restorers = {"torch": from_torch(network())}
    one, eight = (evaluated(tmp_path / str(n), restorers, monkeypatch, count=n) for n in (1, 8))
    for name, expected in one.restorers[0].metrics.items():
        assert eight.restorers[0].metrics[name].value == pytest.approx(expected.value, rel=1e-5, nan_ok=True), name
