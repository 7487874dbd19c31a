"""What busnode's bootstrap does, as pyinfra is told to: read by pyinfra, with the folder of the files in its data."""

from pyinfra import host
from pyinfra.operations import apt, files

apt.packages(packages=host.data.packages, _sudo=True)
for path in host.data.directories:
    files.directory(path=path, user="root", group="root", mode="750", _sudo=True)
for name in host.data.contents:
    files.put(
        src=f"{host.data.folder}/{name}", dest=f"/etc/bench/{name}", user="root", group="root", mode="600", _sudo=True
    )
