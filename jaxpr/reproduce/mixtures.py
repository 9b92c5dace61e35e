"""Densities of mixtures of Gaussians, and of differences of independent draws from them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Parts", "difference"]


class Parts(NamedTuple):
    """A mixture of K Gaussians, a law at one y: log weights (K,), means (K, d), covariances (K, d, d)."""

    logits: jax.Array
    means: jax.Array
    covs: jax.Array

    def log_density(self, z: jax.Array) -> jax.Array:
        """At points (M, d); (M,)."""
        root = jnp.linalg.cholesky(self.covs)
        identity = jnp.broadcast_to(jnp.eye(z.shape[1])[None], root.shape)
        whitening = jax.scipy.linalg.solve_triangular(root, identity, lower=True)
        white = jnp.einsum("kij,mkj->kmi", whitening, z[:, None] - self.means[None], precision="highest")
        scale = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1) + z.shape[1] / 2 * math.log(2 * math.pi)
        return jax.nn.logsumexp((self.logits - scale)[:, None] - jnp.sum(white**2, axis=2) / 2, axis=0)


def difference(a: Parts, b: Parts) -> Parts:
    """The law of A - B for independent A and B."""
    logits, means = a.logits[:, None] + b.logits[None], a.means[:, None] - b.means[None]
    covs = a.covs[:, None] + b.covs[None]
    return Parts(logits.ravel(), means.reshape(-1, *means.shape[2:]), covs.reshape(-1, *covs.shape[2:]))
