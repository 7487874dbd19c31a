"""Prepare Debian nodes over SSH: bootstrap, status, harden, verify."""
