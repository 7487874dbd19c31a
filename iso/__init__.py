"""Build the live CD."""

# Of its folders among the user's own (iso/paths.py); here, where a build with nothing to do has it for nothing.
PRODUCT = "bee-busnode/iso"
