"""Optimal transport: exact with a certificate, entropic, on the line, and between Gaussians.

`emd` and `joint_emd` are host code that proves its results; `sinkhorn_divergence`, `wasserstein_1d`,
`sliced_wasserstein` and the Gaussian functions are JAX code that jits and differentiates. The first two and
`sinkhorn_divergence` need the extra `transport` (numba, POT, ott-jax).
"""

from jaxpr.transport.exact import Transport, emd
from jaxpr.transport.gaussian import GaussianMap, gaussian_map, gaussian_w2, transport_points
from jaxpr.transport.inputs import Cost
from jaxpr.transport.joint import joint_emd
from jaxpr.transport.sinkhorn import SinkhornDivergence, sinkhorn_divergence
from jaxpr.transport.sliced import sliced_wasserstein, wasserstein_1d

__all__ = [
    "Cost",
    "GaussianMap",
    "SinkhornDivergence",
    "Transport",
    "emd",
    "gaussian_map",
    "gaussian_w2",
    "joint_emd",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "transport_points",
    "wasserstein_1d",
]
