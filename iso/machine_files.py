"""Where this machine keeps what a build asks about it."""

from __future__ import annotations

# What apt's answer about its sources comes from (apt.conf(5), sources.list(5)); its lists say whose archive each is.
APT = (
    *("/etc/apt/apt.conf", "/etc/apt/apt.conf.d", "/etc/apt/sources.list", "/etc/apt/sources.list.d"),
    "/var/lib/apt/lists",
)
# Which packages are installed (dpkg(1)).
DPKG = ("/var/lib/dpkg/status",)
