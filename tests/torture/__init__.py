"""Long proofs: seeded, taken up again where they were stopped, their results kept. `make torture` runs them."""
