"""Measure, attack and study image-restoration algorithms in JAX.

Import the subpackage you need, for example `from jaxpr import metrics`. Importing jaxpr touches no device and changes
no configuration.
"""

__version__ = "0.1.0"
