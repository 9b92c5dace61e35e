r"""Mixtures of jointly Gaussian laws: Gaussian mixtures seen through a linear-Gaussian degradation, exact posterior.

The posterior of a mixture is a mixture again: each component's own posterior, weighted by how well the component
explains y. Points are float32, x (N, d) and y (N, m); densities are in nats.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    HIGHEST,
    AnyArray,
    Array,
    InputError,
    Key,
    check_points,
    check_positive,
    floating_dtype,
    in_float64,
    is_traced,
    may_be_undefined,
)
from jaxpr.toys.gaussian import JointGaussian, from_fields, joint_gaussian, linear_fields
from jaxpr.toys.laws import JointLaw, Pairs
from jaxpr.toys.normal import check_covariance, check_joint_points, check_matrix, to_device

__all__ = ["JointMixture", "imbalanced_mixture", "linear_mixture", "planar_mixture"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class JointMixture(JointLaw):
    """A mixture of K jointly Gaussian laws of x and y; make it with `linear_mixture`.

    Attributes:
        log_weights: (K,), logs of probabilities that sum to one; -inf for a component that never occurs.
        components: the K laws, fields with a leading axis K.
    """

    log_weights: Array
    components: JointGaussian

    @property
    def dim_x(self) -> int:
        """Coordinates of x."""
        return self.components.dim_x

    @property
    def dim_y(self) -> int:
        """Coordinates of y."""
        return self.components.dim_y

    @may_be_undefined
    def log_density(self, x: Array, y: Array) -> Array:
        """Log of p(x, y), (N,); NaN where a component's joint covariance is singular, here and below.

        Raises:
            InputError: x (N, d) and y (N, m) do not fit, here and in the other methods.
        """
        return jax.nn.logsumexp(self._joint_logits(x, y), axis=1)

    @may_be_undefined
    def log_density_x(self, x: Array) -> Array:
        """Log of p(x), (N,)."""
        return jax.nn.logsumexp(self._logits_x(x), axis=1)

    @may_be_undefined
    def log_density_y(self, y: Array) -> Array:
        """Log of p(y), (N,)."""
        return jax.nn.logsumexp(self._logits_y(y), axis=1)

    @may_be_undefined
    def log_posterior(self, x: Array, y: Array) -> Array:
        """Log of p(x|y), (N,)."""
        check_joint_points(x, y, dim_x=self.dim_x, dim_y=self.dim_y)
        weights = jax.nn.log_softmax(self._logits_y(y), axis=1)
        within = jax.vmap(lambda c: c.log_posterior(x, y), out_axes=1)(self.components)
        return jax.nn.logsumexp(weights + within, axis=1)

    @may_be_undefined
    def log_likelihood(self, x: Array, y: Array) -> Array:
        """Log of p(y|x), (N,)."""
        return self.log_density(x, y) - self.log_density_x(x)

    @may_be_undefined
    def score_x(self, x: Array) -> Array:
        """Gradient of log p(x), (N, d)."""
        shares = jax.nn.softmax(self._logits_x(x), axis=1)
        return _combine(shares, jax.vmap(lambda c: c.score_x(x), out_axes=1)(self.components))

    @may_be_undefined
    def score_y(self, y: Array) -> Array:
        """Gradient of log p(y), (N, m)."""
        shares = self.posterior_weights(y)
        return _combine(shares, jax.vmap(lambda c: c.score_y(y), out_axes=1)(self.components))

    @may_be_undefined
    def score_posterior(self, x: Array, y: Array) -> Array:
        """Gradient of log p(x|y) in x, which is also that of log p(x, y); (N, d)."""
        shares = jax.nn.softmax(self._joint_logits(x, y), axis=1)
        return _combine(shares, jax.vmap(lambda c: c.score_posterior(x, y), out_axes=1)(self.components))

    def posterior_weights(self, y: Array) -> Array:
        """Probability of each component given y, (N, K)."""
        return jax.nn.softmax(self._logits_y(y), axis=1)

    def posterior_mean(self, y: Array) -> Array:
        """E[x|y], the estimator of least mean squared error, (N, d)."""
        return _combine(self.posterior_weights(y), self._posterior_means(y))

    def posterior_covariance(self, y: Array) -> Array:
        """Covariance of x given y, (N, d, d): within components plus between them."""
        shares, means = self.posterior_weights(y), self._posterior_means(y)
        centred = means - _combine(shares, means)[:, None]
        within = jnp.einsum("nk,kij->nij", shares, self.components.residual.covariance, precision=HIGHEST)
        return within + jnp.einsum("nk,nki,nkj->nij", shares, centred, centred, precision=HIGHEST)

    def _given(self, y: Array) -> tuple[Array, Array]:
        return self._logits_y(y), self._posterior_means(y)

    def _draw_given(self, key: Key, given: tuple[Array, Array]) -> Array:
        logits, means = given
        k_component, k_noise = jax.random.split(key)
        chosen = jax.random.categorical(k_component, logits)
        residual = jax.tree.map(lambda a: a[chosen], self.components.residual)
        return means[chosen] + residual._draw(k_noise)

    def matched_gaussian(self) -> JointGaussian:
        """The Gaussian law of equal mean and covariance of (x, y), behind linear estimators of [adrai2023, A.1]."""
        c = self.components
        parts = (c.marginal_x.mean, c.marginal_y.mean, c.marginal_x.root, c.marginal_y.root, c.gain)
        mean, cov = in_float64(_moments)(self.log_weights, *parts)
        found = joint_gaussian(mean, cov, width=self.dim_x)
        return jax.tree.map(lambda field: field.astype(c.gain.dtype), found)

    def _draw(self, key: Key) -> Pairs:
        k_component, k_pair = jax.random.split(key)
        chosen = jax.random.categorical(k_component, self.log_weights)
        return jax.tree.map(lambda a: a[chosen], self.components)._draw(k_pair)

    def _logits_x(self, x: Array) -> Array:
        return self.log_weights[None] + jax.vmap(lambda c: c.log_density_x(x), out_axes=1)(self.components)

    def _logits_y(self, y: Array) -> Array:
        return self.log_weights[None] + jax.vmap(lambda c: c.log_density_y(y), out_axes=1)(self.components)

    def _joint_logits(self, x: Array, y: Array) -> Array:
        check_joint_points(x, y, dim_x=self.dim_x, dim_y=self.dim_y)
        return self.log_weights[None] + jax.vmap(lambda c: c.log_density(x, y), out_axes=1)(self.components)

    def _posterior_means(self, y: Array) -> Array:
        check_points("y", y, width=self.dim_y)
        return jax.vmap(lambda c: c.posterior_mean(y), out_axes=1)(self.components)


def linear_mixture(
    weights: AnyArray, means: AnyArray, covs: AnyArray, matrix: AnyArray, noise_cov: AnyArray
) -> JointMixture:
    """Law of x from a Gaussian mixture and of its measurement y = A x + n with independent Gaussian noise of mean zero.

    Args:
        weights: (K,), non-negative; divided by their sum.
        means: (K, d).
        covs: (K, d, d), symmetric PSD. Singular ones have draws and posterior means but no density (NaN).
        matrix: (m, d), A, of any rank.
        noise_cov: (m, m), symmetric PSD. The law of y must have a density under every component.

    Raises:
        InputError: shapes do not fit, values are not finite, weights are negative or all zero, or a covariance is not
            symmetric PSD.
    """
    check_points("means", jnp.asarray(means, floating_dtype(means)))
    count, dim = np.shape(means)
    if np.shape(weights) != (count,):
        raise InputError(f"weights: found shape {np.shape(weights)}, expected ({count},) as means")
    check_positive("weights", weights, or_zero=True)
    if not is_traced(weights) and np.sum(np.asarray(weights)) == 0:
        raise InputError("weights: found only zeros, expected at least one positive weight")
    if np.shape(covs) != (count, dim, dim):
        raise InputError(f"covs: found shape {np.shape(covs)}, expected ({count}, {dim}, {dim}) as means")
    check_covariance("covs", covs, dim)
    check_matrix("matrix", matrix, columns=dim)
    check_covariance("noise_cov", noise_cov, np.shape(matrix)[0])
    return _mixture(weights, means, covs, matrix, noise_cov, floating_dtype(weights, means, covs, matrix, noise_cov))


def _mixture(weights: Any, means: Any, covs: Any, matrix: Any, noise_cov: Any, dtype: np.dtype) -> JointMixture:
    components = from_fields(in_float64(linear_fields)(means, covs, matrix, noise_cov), dtype)
    return JointMixture(to_device(in_float64(_log_shares)(weights), dtype), components)


def planar_mixture(*, noise_std: float | Array) -> JointMixture:
    """Denoising of four components on the plane, as in [adrai2023, Appendix A.1 and Figure 7].

    Note:
        The paper prints neither the components nor the noise; these have its features: four modes, elongated in
        different directions.

    Args:
        noise_std: of the white noise, in units of x, where modes lie about 4 apart. Positive.

    Raises:
        InputError: noise_std is not positive.
    """
    check_positive("noise_std", noise_std)
    means = np.array([[-2.0, -2.0], [-2.0, 2.0], [2.0, -1.5], [2.5, 2.0]])
    covs = np.array(
        [
            [[0.5, 0.35], [0.35, 0.4]],
            [[0.8, -0.3], [-0.3, 0.2]],
            [[0.2, 0.1], [0.1, 0.7]],
            [[0.3, -0.2], [-0.2, 0.4]],
        ]
    )
    dtype = floating_dtype(noise_std)
    return _mixture(np.array([0.3, 0.2, 0.3, 0.2]), means, covs, np.eye(2), _white(noise_std, dtype), dtype)


def imbalanced_mixture(
    *, noise_std: float | Array, central: float | Array = 0.95, radius: float = 4.0, std: float = 0.5
) -> JointMixture:
    """Ten Gaussians on the plane of which the central one holds most of the mass, [cohen2024md, Figures 4, 9 and 10].

    Nine equal components lie on a circle around the central one. With growing noise the posterior becomes the mixture
    itself: many draws from one dominant mode, few from all others.

    Note:
        The paper prints the central mass, 95 %, but no positions or widths.

    Args:
        noise_std: of white noise on y = x + n, in units of x. Positive.
        central: mass of the central component, in [0, 1]; the paper's is 0.95.
        radius: of the circle, positive.
        std: of every component, positive.

    Raises:
        InputError: a number out of its range.
    """
    for name, value in (("noise_std", noise_std), ("radius", radius), ("std", std)):
        check_positive(name, value)
    if not is_traced(central) and not 0 <= float(central) <= 1:
        raise InputError(f"central: found {central}, expected a mass in [0, 1]")
    angles = 2 * np.pi * np.arange(9) / 9
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    means = np.concatenate([np.zeros((1, 2)), circle])
    dtype = floating_dtype(noise_std, central, radius, std)
    outer = (1 - jnp.asarray(central, dtype)) / 9
    weights = jnp.concatenate([jnp.asarray(central, dtype)[None], jnp.broadcast_to(outer, (9,))])
    covs = np.broadcast_to(std**2 * np.eye(2), (10, 2, 2))
    return _mixture(weights, means, covs, np.eye(2), _white(noise_std, dtype), dtype)


def _white(std: float | Array, dtype: np.dtype) -> Array:
    return jnp.square(jnp.asarray(std, dtype)) * jnp.eye(2, dtype=dtype)


def _log_shares(xp: ModuleType, weights: Any) -> Any:
    positive = weights > 0
    return xp.where(positive, xp.log(xp.where(positive, weights, 1)), -np.inf) - xp.log(xp.sum(weights))


def _combine(shares: Array, values: Array) -> Array:
    """Weighted sum over components: (N, K) and (N, K, d) to (N, d)."""
    return jnp.einsum("nk,nkd->nd", shares, values, precision=HIGHEST)


def _moments(xp: ModuleType, log_weights: Any, mean_x: Any, mean_y: Any, root_x: Any, root_y: Any, gain: Any) -> Any:
    weights = xp.exp(log_weights)
    means = xp.concatenate([mean_x, mean_y], axis=1)
    mean = weights @ means
    yy = root_y @ root_y
    xy = gain @ yy
    rows = (xp.concatenate([root_x @ root_x, xy], axis=2), xp.concatenate([xp.swapaxes(xy, 1, 2), yy], axis=2))
    centred = means - mean[None]
    within = xp.einsum("k,kij->ij", weights, xp.concatenate(rows, axis=1))
    return mean, within + (centred * weights[:, None]).T @ centred
