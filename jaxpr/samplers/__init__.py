"""Diffusion posterior samplers over any denoiser: several answers to each measurement, driven apart or not."""

from jaxpr.samplers.ddnm import ddnm
from jaxpr.samplers.ddrm import ddrm
from jaxpr.samplers.dps import Conditioning, dps
from jaxpr.samplers.guidance import Convention, Guidance
from jaxpr.samplers.noise import Noise
from jaxpr.samplers.repaint import repaint
from jaxpr.samplers.times import network_calls, travel_times
from jaxpr.samplers.trajectory import PosteriorSamples, Trace

__all__ = [
    "Conditioning",
    "Convention",
    "Guidance",
    "Noise",
    "PosteriorSamples",
    "Trace",
    "ddnm",
    "ddrm",
    "dps",
    "network_calls",
    "repaint",
    "travel_times",
]
