"""Diffusion posterior samplers over any denoiser: several answers to each measurement, driven apart or not."""

from jaxpr.samplers.ddnm import ddnm
from jaxpr.samplers.ddrm import ddrm
from jaxpr.samplers.dps import Conditioning, dps
from jaxpr.samplers.guidance import Convention, Guidance
from jaxpr.samplers.noise import Noise
from jaxpr.samplers.presets import GUIDED_TASKS, guidance_preset
from jaxpr.samplers.repaint import repaint
from jaxpr.samplers.times import network_calls, travel_times
from jaxpr.samplers.trajectory import PosteriorSamples, Trace

__all__ = [
    "GUIDED_TASKS",
    "Conditioning",
    "Convention",
    "Guidance",
    "Noise",
    "PosteriorSamples",
    "Trace",
    "ddnm",
    "ddrm",
    "dps",
    "guidance_preset",
    "network_calls",
    "repaint",
    "travel_times",
]
