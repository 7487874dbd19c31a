"""Questions to the build, as commands of doit (pyproject.toml names them): none runs a stage of this checkout."""
