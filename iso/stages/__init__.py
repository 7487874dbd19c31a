"""The stages of the build, by concern."""
