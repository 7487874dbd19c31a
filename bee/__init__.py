"""Audit the hardware of the machine this runs on."""

__version__ = "0.1.0"
